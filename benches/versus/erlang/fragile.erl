%% A child that crashes when it is told to, and how long that was ago when its successor begins: both note the time
%% themselves, the crash as the last act of the one, in a word that they share, and the beginning as the first of the other.
%%
%% The bare child exits with a reason, which nobody reports. An error in it would be reported by the virtual machine, which
%% takes longer for that than for the whole restart, even if no logger wants it. The gen_server's error is reported by the
%% library, which asks first whether anybody wants to know.
-module(fragile).
-behaviour(gen_server).
-export([start_bare/1, start_server/1, crash/1]).
-export([bare/1, init/1, handle_call/3, handle_cast/2]).

%% A child that is a bare process.
start_bare(Watch) ->
    {ok, spawn_link(?MODULE, bare, [Watch])}.

%% A child that is a gen_server: its start waits for init.
start_server(Watch) ->
    gen_server:start_link(?MODULE, Watch, []).

crash(Child) ->
    gen_server:cast(Child, crash).

bare(Watch) ->
    begins(Watch),
    receive
        {'$gen_cast', crash} ->
            note_crash(Watch),
            exit(crash)
    end.

init(Watch) ->
    begins(Watch),
    {ok, Watch}.

handle_call(_, _From, Watch) ->
    {noreply, Watch}.

handle_cast(crash, Watch) ->
    note_crash(Watch),
    error(crash).

begins({Watcher, Crashed}) ->
    Nanos = erlang:monotonic_time(nanosecond) - atomics:get(Crashed, 1),
    Watcher ! {begins, self(), Nanos}.

note_crash({_, Crashed}) ->
    atomics:put(Crashed, 1, erlang:monotonic_time(nanosecond)).
