%% The workloads of actors. An actor of the first kind is a bare process with a loop, as the language gives it; one of the
%% second kind is a gen_server, as the library has it.
-module(actors).
-export([sizes/0, run/2, echo/0]).

%% The bound of a mailbox, where there is one.
-define(CAPACITY, 1024).
%% Crashes under one supervisor, which walks through all that it remembers at each.
-define(CRASHES, 10).

%% What a run does when --n doesn't say.
sizes() ->
    #{"actor_spawn" => 200_000, "server_spawn" => 200_000, "call" => 1_000_000, "server_call" => 1_000_000,
      "cast" => 5_000_000, "server_cast" => 5_000_000, "actors_idle" => 1_000_000, "restart" => 20_000}.

run("actor_spawn", N) ->
    [Called, Messaged, Spawned] =
        turns:take(N, [repeat(fun called/0), repeat(fun messaged/0), repeat(fun spawned/0)]),
    #{value => Called, unit => "ns", message_exit_ns => Messaged, spawn_exit_ns => Spawned};
run("server_spawn", N) ->
    [Nanos] = turns:take(N, [repeat(fun served/0)]),
    #{value => Nanos, unit => "ns"};
run("call", N) ->
    Pid = spawn_link(fun ?MODULE:echo/0),
    [Bare, Monitored] =
        turns:take(N, [calls(fun(I) -> I = call(Pid, I) end), calls(fun(I) -> I = monitored_call(Pid, I) end)]),
    #{value => Bare, unit => "ns", monitored_ns => Monitored};
run("server_call", N) ->
    {ok, Pid} = counter:start_link(),
    [Nanos] = turns:take(N, [calls(fun(I) -> I = gen_server:call(Pid, {echo, I}) end)]),
    #{value => Nanos, unit => "ns"};
run("cast", N) ->
    Pid = spawn_link(fun() -> sum(0) end),
    report_casts(N, fun(I) -> Pid ! I end, fun() -> ask(Pid, take_sum) end, fun answer/1);
run("server_cast", N) ->
    {ok, Pid} = counter:start_link(),
    Answer = fun(Asked) -> {reply, Sum} = gen_server:receive_response(Asked, infinity), Sum end,
    Ask = fun() -> gen_server:send_request(Pid, take_sum) end,
    report_casts(N, fun(I) -> gen_server:cast(Pid, {add, I}) end, Ask, Answer);
run("actors_idle", N) ->
    idle(N);
run("restart", N) ->
    [Bare, Server] = turns:take(N, [restarts(start_bare), restarts(start_server)]),
    #{value => Bare / 1000, unit => "µs", server_us => Server / 1000};
run(_, _) ->
    #{skip => "not written for Erlang"}.

%% A side that does an operation as often as it is told.
repeat(Operation) ->
    fun(Ops) -> turns:time(fun() -> times(Ops, Operation) end) end.

times(0, _) ->
    ok;
times(Ops, Operation) ->
    Operation(),
    times(Ops - 1, Operation).

%% The same for an operation that has a number.
calls(Operation) ->
    fun(Ops) -> turns:time(fun() -> count_down(Ops, Operation) end) end.

count_down(0, _) ->
    ok;
count_down(I, Operation) ->
    Operation(I),
    count_down(I - 1, Operation).

%% Spawn, call, stop, and know that it has stopped.
called() ->
    {Pid, Monitor} = spawn_monitor(fun ?MODULE:echo/0),
    1 = call(Pid, 1),
    Pid ! stop,
    receive {'DOWN', Monitor, process, Pid, normal} -> ok end.

%% Spawn, one message, at which it ends, and know that it has.
messaged() ->
    {Pid, Monitor} = spawn_monitor(fun ?MODULE:echo/0),
    Pid ! stop,
    receive {'DOWN', Monitor, process, Pid, normal} -> ok end.

%% Spawn what ends by itself, and know that it has.
spawned() ->
    {Pid, Monitor} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Monitor, process, Pid, normal} -> ok end.

%% As `called`; the start waits for init, and the stop for the end.
served() ->
    {ok, Pid} = counter:start(),
    1 = gen_server:call(Pid, {echo, 1}),
    ok = gen_server:stop(Pid).

%% An actor that answers every call with its argument.
echo() ->
    receive
        {From, Ref, Request} ->
            From ! {Ref, Request},
            echo();
        stop ->
            ok
    end.

%% Ping-pong: waits for ever if the other one is dead.
call(Pid, Request) ->
    Ref = make_ref(),
    Pid ! {self(), Ref, Request},
    receive {Ref, Reply} -> Reply end.

%% The two halves of a call.
ask(Pid, Request) ->
    Ref = make_ref(),
    Pid ! {self(), Ref, Request},
    Ref.

answer(Ref) ->
    receive {Ref, Reply} -> Reply end.

%% A call that learns of the other one's death, by hand.
monitored_call(Pid, Request) ->
    Ref = monitor(process, Pid),
    Pid ! {self(), Ref, Request},
    receive
        {Ref, Reply} ->
            demonitor(Ref, [flush]),
            Reply;
        {'DOWN', Ref, process, Pid, Reason} ->
            exit(Reason)
    end.

%% An actor that adds up what it is sent.
sum(Sum) ->
    receive
        I when is_integer(I) ->
            sum(Sum + I);
        {From, Ref, take_sum} ->
            From ! {Ref, Sum},
            sum(0)
    end.

%% Mailboxes have no bound, and a sender that never waits may be faster or slower than one that keeps to a bound: the value
%% is the better of the two. A turn ends when all that was sent has been received. `Ask` asks the actor for the sum of what
%% it has received since it was asked last, and `Answer` waits for that.
report_casts(N, Cast, Ask, Answer) ->
    Side = fun(Flood) ->
        fun(Ops) ->
            turns:time(fun() ->
                Sum = Flood(Ops),
                Sum = Ops * (Ops + 1) div 2
            end)
        end
    end,
    Unbounded = fun(Ops) -> count_down(Ops, Cast), Answer(Ask()) end,
    Bounded = fun(Ops) -> cast_bounded(Ops, Cast, Ask, Answer, Ask(), 0) end,
    [UnboundedNanos, BoundedNanos] = turns:take(N, [Side(Unbounded), Side(Bounded)]),
    Best = min(UnboundedNanos, BoundedNanos),
    #{value => Best, unit => "ns", unbounded_ns => UnboundedNanos, bounded_ns => BoundedNanos}.

%% Goes on with the next half of the bound when the half before the last one has been received.
cast_bounded(0, _, _, Answer, Asked, Sum) ->
    Sum + Answer(Asked);
cast_bounded(Left, Cast, Ask, Answer, Asked, Sum) ->
    Rest = max(0, Left - ?CAPACITY div 2),
    cast_down(Left, Rest, Cast),
    Asking = Ask(),
    cast_bounded(Rest, Cast, Ask, Answer, Asking, Sum + Answer(Asked)).

cast_down(Last, Last, _) ->
    ok;
cast_down(I, Last, Cast) ->
    Cast(I),
    cast_down(I - 1, Last, Cast).

%% Memory of N actors that wait: first when each has begun, then when each has answered a call.
idle(N) ->
    Before = memory(),
    {Spawned, Actors} = timer:tc(fun() -> spawn_waiting(N, []) end),
    Begun = memory(),
    {Called, ok} = timer:tc(fun() -> lists:foreach(fun(Pid) -> 1 = call(Pid, 1) end, Actors) end),
    After = memory(),
    {Ended, ok} = timer:tc(fun() -> lists:foreach(fun stop/1, Actors) end),
    [Resident, Tables, Beam] = [(B - A) / N || {A, B} <- lists:zip(Before, Begun)],
    [AfterCall | _] = [(B - A) / N || {A, B} <- lists:zip(Before, After)],
    #{value => Resident, unit => "B", pte_per_actor => Tables, beam_bytes => Beam, after_a_call => AfterCall,
      spawn_s => Spawned / 1.0e6, call_s => Called / 1.0e6, end_s => Ended / 1.0e6}.

%% Resident, page tables, and what the virtual machine counts for its processes.
memory() ->
    erlang:garbage_collect(),
    [versus:status_bytes("VmRSS"), versus:status_bytes("VmPTE"), erlang:memory(processes)].

%% A thousand at a time, each of which says that it has begun.
spawn_waiting(0, Actors) ->
    Actors;
spawn_waiting(N, Actors) ->
    Me = self(),
    Some = [spawn(fun() -> Me ! begun, echo() end) || _ <- lists:seq(1, min(N, 1000))],
    [receive begun -> ok end || _ <- Some],
    spawn_waiting(N - length(Some), Some ++ Actors).

stop(Pid) ->
    Monitor = monitor(process, Pid),
    Pid ! stop,
    receive {'DOWN', Monitor, process, Pid, normal} -> ok end.

%% The time from the crash of a supervised child until its successor runs. A supervisor walks through all restarts of its
%% last second at each of them, so there is a new one for every few crashes.
restarts(StartChild) ->
    fun(Ops) -> restarts(Ops, StartChild, 0) end.

restarts(0, _, Nanos) ->
    Nanos;
restarts(Left, StartChild, Nanos) ->
    Count = min(Left, ?CRASHES),
    restarts(Left - Count, StartChild, Nanos + crashes(Count, StartChild)).

crashes(Count, StartChild) ->
    {ok, Supervisor} = nursery:start_link({fragile, StartChild, [{self(), atomics:new(1, [])}]}),
    Crash = fun(_, {Child, Sum}) ->
        fragile:crash(Child),
        {Next, Nanos} = begins(),
        {Next, Sum + Nanos}
    end,
    {First, _} = begins(),
    {_, Sum} = lists:foldl(Crash, {First, 0}, lists:seq(1, Count)),
    ok = gen_server:stop(Supervisor),
    Sum.

begins() ->
    receive {begins, Child, Nanos} -> {Child, Nanos} end.
