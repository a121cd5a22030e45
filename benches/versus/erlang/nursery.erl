%% A supervisor with one child.
-module(nursery).
-behaviour(supervisor).
-export([start_link/1, init/1]).

start_link(Start) ->
    supervisor:start_link(?MODULE, Start).

init(Start) ->
    Strategy = #{strategy => one_for_one, intensity => 1_000_000, period => 1},
    {ok, {Strategy, [#{id => child, start => Start}]}}.
