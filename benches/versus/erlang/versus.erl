%% The peer erlang: processes, gen_server and supervisor; same command line, same line of output. It has only the workloads
%% of actors.
-module(versus).
-export([main/0, status_bytes/1]).

%% What `erl -run versus main -extra <workload> [--workers N] [--n N]` runs. The script that calls it has made as many
%% schedulers as there are workers.
main() ->
    ok = io:setopts([{encoding, unicode}]),
    {Workload, Options} = arguments(init:get_plain_arguments()),
    #{"--workers" := Workers, "--n" := N} = Options,
    Workers = erlang:system_info(schedulers_online),
    %% A process that nobody else sends to: init's own mailbox has other guests.
    {Pid, Monitor} = spawn_monitor(fun() -> exit({report, actors:run(Workload, N)}) end),
    receive
        {'DOWN', Monitor, process, Pid, {report, Report}} ->
            print(Report#{peer => "erlang", workload => Workload, workers => Workers, n => N,
                          cpu_seconds => cpu_seconds(), peak_bytes => status_bytes("VmHWM")}),
            halt(0);
        {'DOWN', Monitor, process, Pid, Reason} ->
            io:format(standard_error, "~0p~n", [Reason]),
            halt(1)
    end.

arguments([Workload | Rest]) ->
    N = maps:get(Workload, actors:sizes(), 0),
    {Workload, options(Rest, #{"--workers" => 2, "--n" => N})};
arguments([]) ->
    usage("no workload given").

options([Name, Value | Rest], Options) when is_map_key(Name, Options) ->
    case string:to_integer(Value) of
        {Number, ""} -> options(Rest, Options#{Name := Number});
        _ -> usage(Name ++ " needs a number, not " ++ Value)
    end;
options([], Options) ->
    Options;
options([Name | _], _) ->
    usage("unknown argument, or none after it: " ++ Name).

usage(Problem) ->
    io:format(standard_error, "~ts~nusage: <peer> <workload> [--workers N] [--n N]~n", [Problem]),
    halt(2).

print(Report) ->
    Fields = [[$", atom_to_list(Name), "\":", json(Value)] || {Name, Value} <- maps:to_list(Report)],
    io:format("{~ts}~n", [lists:join($,, Fields)]).

json(Number) when is_number(Number) -> io_lib:format("~p", [Number]);
json(String) -> [$", String, $"].

%% User and system time of all threads so far, in seconds: the kernel's ticks are a hundredth of one.
cpu_seconds() ->
    {ok, Stat} = file:read_file("/proc/self/stat"),
    %% The program's name, which ends with the last bracket, may contain spaces.
    Fields = string:lexemes(lists:last(string:split(Stat, ")", trailing)), " "),
    [User, System | _] = lists:nthtail(11, Fields),
    (binary_to_integer(User) + binary_to_integer(System)) / 100.

%% A field of /proc/self/status that is given in kB, in bytes.
status_bytes(Field) ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [Number]} = re:run(Status, "^" ++ Field ++ ":\\s*(\\d+) kB", [multiline, {capture, all_but_first, list}]),
    list_to_integer(Number) * 1024.
