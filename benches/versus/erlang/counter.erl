%% A gen_server that echoes, and adds up what it is sent.
-module(counter).
-behaviour(gen_server).
-export([start/0, start_link/0, init/1, handle_call/3, handle_cast/2]).

start() ->
    gen_server:start(?MODULE, 0, []).

start_link() ->
    gen_server:start_link(?MODULE, 0, []).

init(Sum) ->
    {ok, Sum}.

handle_call({echo, Reply}, _From, Sum) ->
    {reply, Reply, Sum};
handle_call(take_sum, _From, Sum) ->
    {reply, Sum, 0}.

handle_cast({add, I}, Sum) ->
    {noreply, Sum + I}.
