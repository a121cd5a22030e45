%% What src/turns.rs does for the other peers.
-module(turns).
-export([take/2, each_of/1, time/1, median/1]).

-define(TURNS, 201).

%% Lets each side do about N operations, a slice of each in turn; for each side, the median turn's nanoseconds an
%% operation. A side is told how many operations it is to do, and returns the nanoseconds that they took.
take(N, Sides) ->
    Ops = each_of(N),
    Turns = [turn(Ops, rotate(Turn rem length(Sides), lists:enumerate(Sides))) || Turn <- lists:seq(0, ?TURNS)],
    %% The first turn only warms up.
    [median([maps:get(Side, Turn) || Turn <- tl(Turns)]) || {Side, _} <- lists:enumerate(Sides)].

turn(Ops, Sides) ->
    maps:from_list([{Side, Run(Ops) / Ops} || {Side, Run} <- Sides]).

%% Another side begins each time, for the first may find caches that the last has left.
rotate(By, Sides) ->
    {Last, First} = lists:split(By, Sides),
    First ++ Last.

%% How many operations a side does in one turn of N in all.
each_of(N) ->
    (N + ?TURNS - 1) div ?TURNS.

%% How many nanoseconds Work takes.
time(Work) ->
    Start = erlang:monotonic_time(nanosecond),
    Work(),
    erlang:monotonic_time(nanosecond) - Start.

median(Values) ->
    lists:nth(length(Values) div 2 + 1, lists:sort(Values)).
