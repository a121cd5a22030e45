//! From Erlang and Elixir to fibra.
//!
//! OTP's processes, servers and supervisors are in [`actor`](crate::actor), under their own names and with their own
//! rules. What Rust's types, memory that is shared, and bounded mailboxes change stands [at the end](self#what-differs).
//!
//! # Processes
//!
//! `M` is the type of the actor's messages, an enum with the variants of its protocol; `d` is a
//! [`Duration`](std::time::Duration); `mailbox` is what the body of an actor is given.
//!
//! | Erlang, Elixir | fibra |
//! | --- | --- |
//! | `spawn(fun() -> work() end)` that receives nothing | [`fibra::spawn(\|\| work())`](crate::spawn), [`go!(work())`](crate::go) |
//! | `spawn(fun() -> loop(0) end)` with a `receive` in it | [`actor::spawn_body(\|mailbox: &Mailbox<M>\| …)`](crate::actor::spawn_body) |
//! | the same, as a loop over a state | [`actor::spawn(\|_\| state, \|state, message\| …)`](crate::actor::spawn) |
//! | `spawn_link(F)` | [`Builder::new().link().spawn_body(f)?`](crate::actor::Builder::link) |
//! | `spawn_monitor(F)` | `let a = actor::spawn_body(f); mailbox.monitor(&a, Message::Down);` |
//! | `self()` | [`mailbox.address()`](crate::actor::Mailbox::address) to send to; [`actor::current()`](crate::actor::current) for the [`Pid`](crate::actor::Pid) |
//! | `Pid ! Message`, `send(pid, message)` | [`address.send(message)?`](crate::actor::Address::send): parks while the mailbox is full |
//! | a `send` that must not wait | [`address.try_send(message)`](crate::actor::Address::try_send) |
//! | `receive Any -> … end` | [`mailbox.recv()?`](crate::actor::Mailbox::recv) |
//! | `receive {ok, X} -> X end` | [`mailbox.receive(\|m\| match m { Message::Ok(x) => Ok(x), other => Err(other) })?`](crate::actor::Mailbox::receive) |
//! | `receive … after 1000 -> … end` | [`mailbox.recv_timeout(d)`](crate::actor::Mailbox::recv_timeout), [`receive_timeout(d, pattern)`](crate::actor::Mailbox::receive_timeout) |
//! | `receive … after 0 -> … end` | [`mailbox.try_recv()`](crate::actor::Mailbox::try_recv), `receive_timeout(Duration::ZERO, pattern)` |
//! | `link(Pid)`, `unlink(Pid)` | [`actor::link(&other)`](crate::actor::link()), [`actor::unlink(&other)`](crate::actor::unlink) |
//! | `monitor(process, Pid)` | [`mailbox.monitor(&other, Message::Down)`](crate::actor::Mailbox::monitor); from no actor [`pid.monitor()`](crate::actor::Pid::monitor) |
//! | `{'DOWN', Ref, process, Pid, Reason}` | [`Down { monitor, pid, reason, .. }`](crate::actor::Down) |
//! | `demonitor(Ref)` | [`mailbox.demonitor(&id)`](crate::actor::Mailbox::demonitor); false: its message has come, or is about to |
//! | `process_flag(trap_exit, true)` | [`mailbox.trap_exits(Message::Exit)`](crate::actor::Mailbox::trap_exits) |
//! | `{'EXIT', From, Reason}` | [`Exit { from, reason, .. }`](crate::actor::Exit) |
//! | `exit(Reason)` | [`actor::exit(reason)`](crate::actor::exit()), or return it from the body |
//! | `exit(Pid, Reason)`, `exit(Pid, kill)` | [`pid.exit(reason)`](crate::actor::Pid::exit), [`pid.kill()`](crate::actor::Pid::kill) |
//! | `normal`, `shutdown`, `killed`, `{badmatch, …}` | [`ExitReason::{Normal, Shutdown, Killed, Panic(message)}`](crate::actor::ExitReason) |
//! | `noproc`, `timeout`, any other term | `ExitReason::{Failed(text), Timeout(text)}`, [`ExitReason::failed("no disk")`](crate::actor::ExitReason::failed) |
//! | `is_process_alive(Pid)` | [`pid.is_alive()`](crate::actor::Pid::is_alive), [`pid.exit_reason()`](crate::actor::Pid::exit_reason) |
//! | `process_info(Pid, message_queue_len)` | [`address.len()`](crate::actor::Address::len) |
//! | `register(phone, Pid)` | [`actor::register("phone", &address)?`](crate::actor::register) |
//! | `whereis(phone)` | [`actor::whereis::<Address<M>>("phone")`](crate::actor::whereis), or `whereis::<Pid>("phone")` |
//! | `registered()`, `unregister(phone)` | [`actor::registered()`](crate::actor::registered), [`actor::unregister("phone")`](crate::actor::unregister) |
//! | `{via, Registry, {rooms, 7}}` | `actor::register("room 7", &room)?`: a name is any text |
//! | `erlang:send_after(1000, Pid, M)` | [`actor::send_after(d, &address, message)`](crate::actor::send_after) |
//! | `erlang:cancel_timer(Ref)` | [`timer.cancel()`](crate::actor::Timer::cancel) |
//! | `timer:sleep(1000)`, `put(key, Value)` | [`fibra::sleep(d)`](crate::sleep), [`task_local!`](crate::task_local!) |
//!
//! # Elixir's Counter
//!
//! ```elixir
//! defmodule Counter do
//!   def start(n), do: spawn(fn -> loop(n) end)
//!
//!   defp loop(n) do
//!     receive do
//!       :increment -> loop(n + 1)
//!       {:get, from} -> send(from, {:count, n}); loop(n)
//!       :stop -> :ok
//!     end
//!   end
//! end
//! ```
//!
//! The messages become a type, `from` becomes a [`ReplyTo`](crate::actor::ReplyTo) that knows the answer's type, and the
//! loop's argument the state:
//!
//! ```
//! use std::ops::ControlFlow;
//! use fibra::actor::{self, Address, ReplyTo};
//!
//! enum Counter {
//!     Increment,
//!     Get(ReplyTo<i64>),
//!     Stop,
//! }
//!
//! fn start(n: i64) -> Address<Counter> {
//!     actor::spawn(
//!         move |_mailbox| n,
//!         |n: &mut i64, message| {
//!             match message {
//!                 Counter::Increment => *n += 1,
//!                 Counter::Get(from) => from.send(*n),
//!                 Counter::Stop => return ControlFlow::Break(()),
//!             }
//!             ControlFlow::Continue(())
//!         },
//!     )
//! }
//!
//! let counter = start(40);
//! counter.send(Counter::Increment)?;
//! counter.send(Counter::Increment)?;
//! assert_eq!(counter.call(Counter::Get)?, 42);
//! counter.send(Counter::Stop)?;
//! assert!(counter.pid().wait().is_normal());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Generic servers
//!
//! `S` is a type that is a [`GenServer`](crate::actor::GenServer), `server` a [`Server<S>`](crate::actor::Server), and
//! `context` the [`Context`](crate::actor::Context) that each handler is given.
//!
//! | Elixir | fibra |
//! | --- | --- |
//! | `GenServer.start(S, arg)` | [`S::start(arg)?`](crate::actor::GenServer::start) |
//! | `GenServer.start_link(S, arg)` | [`Builder::new().link().start::<S>(arg)?`](crate::actor::Builder::start); for a supervisor `S::start(arg)` |
//! | `start_link(S, arg, name: :stock)` | in `init`: `register("stock", &context.server()).map_err(ExitReason::failed)?` |
//! | `GenServer.call(server, {:add, 2})` | [`server.call(\|from\| Call::Add(2, from))?`](crate::actor::Server::call): five seconds, too |
//! | `GenServer.call(server, :get, 500)` | [`server.call_timeout(d, Call::Get)?`](crate::actor::Server::call_timeout) |
//! | `GenServer.call(:stock, :get)` | `whereis::<Server<S>>("stock")`, and then as above |
//! | `GenServer.cast(server, :reset)` | [`server.cast(Cast::Reset)?`](crate::actor::Server::cast): parks while the mailbox is full |
//! | `GenServer.stop(server)` | [`server.stop()`](crate::actor::Server::stop) |
//! | `init(arg)`: `{:ok, state}`, `{:stop, reason}` | [`fn init(arg, context)`](crate::actor::GenServer::init): `Ok(state)`, `Err(reason)` |
//! | `{:ok, state, {:continue, :load}}` | in `init`: `context.server().cast(Cast::Load)`: never waits, and comes first |
//! | `handle_call(:get, from, state)` | [`fn handle_call(&mut self, call, context)`](crate::actor::GenServer::handle_call), `match call { Call::Get(from) => … }` |
//! | `{:reply, answer, state}` | [`from.send(answer)`](crate::actor::ReplyTo::send) |
//! | `{:noreply, state}`, `GenServer.reply(from, answer)` | keep `from` in the state; `from.send(answer)` later, from anywhere |
//! | `{:stop, :normal, answer, state}` | `from.send(answer);` [`context.stop(ExitReason::Normal)`](crate::actor::Context::stop) |
//! | `handle_cast(:reset, state)` | [`fn handle_cast(&mut self, cast, context)`](crate::actor::GenServer::handle_cast) |
//! | `handle_info({:DOWN, …}, state)` | [`fn handle_info(&mut self, info, context)`](crate::actor::GenServer::handle_info): [`Info::Down(down)`](crate::actor::Info), `Info::Exit(exit)` |
//! | `handle_info(:tick, state)` | a cast: there are no other messages |
//! | `Process.send_after(self(), :tick, 1000)` | [`context.send_after(d, Cast::Tick)`](crate::actor::Context::send_after) |
//! | `{:noreply, state, 5000}`, `handle_info(:timeout, …)` | [`context.set_timeout(Some(d))`](crate::actor::Context::set_timeout), `Info::Timeout`; stays until it is changed |
//! | `Process.monitor(pid)`, `Process.flag(:trap_exit, true)` | [`context.monitor(&other)`](crate::actor::Context::monitor), [`context.trap_exits(true)`](crate::actor::Context::trap_exits) |
//! | `terminate(reason, state)` | [`fn terminate(&mut self, reason, context)`](crate::actor::GenServer::terminate) |
//! | `Agent.start(fn -> 0 end)`, `Agent.update`, `Agent.get` | `actor::spawn(\|_\| 0, …)` with a message for each, or [closures](self#tasks-and-agents) |
//!
//! # Supervisors
//!
//! | Elixir | fibra |
//! | --- | --- |
//! | `Supervisor.start_link(children, opts)` | [`Supervisor::new(strategy).child(spec).child(spec).start()?`](crate::actor::Supervisor); from an actor `.link().start()?` |
//! | `strategy: :one_for_one`, `:one_for_all`, `:rest_for_one` | [`Strategy::{OneForOne, OneForAll, RestForOne}`](crate::actor::Strategy) |
//! | `max_restarts: 3, max_seconds: 5` | [`.intensity(3, Duration::from_secs(5))`](crate::actor::Supervisor::intensity); else Erlang's 1 in 5 seconds |
//! | `%{id: :stock, start: {Stock, :start_link, [7]}}` | [`ChildSpec::new("stock", \|\| Stock::start(7))`](crate::actor::ChildSpec::new) |
//! | `restart: :permanent`, `:transient`, `:temporary` | [`.restart(Restart::Permanent)`](crate::actor::Restart), `Transient`, `Temporary` |
//! | `shutdown: 5000`, `:brutal_kill`, `:infinity` | [`.shutdown(Shutdown::Timeout(d))`](crate::actor::Shutdown), `Brutal`, `Infinity` |
//! | `type: :supervisor` | a start function that returns a supervisor: `\|\| Supervisor::new(…).child(…).start()` |
//! | `Supervisor.which_children(sup)` | [`sup.children()?`](crate::actor::SupervisorRef::children); one of them: [`sup.child::<Server<Stock>>("stock")`](crate::actor::SupervisorRef::child) |
//! | `Supervisor.count_children(sup)` | [`sup.count()?`](crate::actor::SupervisorRef::count) |
//! | `Supervisor.start_child(sup, spec)` | [`sup.start_child(spec)?`](crate::actor::SupervisorRef::start_child) |
//! | `terminate_child`, `restart_child`, `delete_child` | [`sup.terminate_child("stock")?`](crate::actor::SupervisorRef::terminate_child), `restart_child`, `delete_child` |
//! | `Supervisor.stop(sup)` | [`sup.stop()`](crate::actor::SupervisorRef::stop) |
//! | `DynamicSupervisor.start_link(max_children: 100)` | [`DynamicSupervisor::new().max_children(100).start()?`](crate::actor::DynamicSupervisor) |
//! | `DynamicSupervisor.start_child(sup, {Session, 7})` | [`sup.start_child(ChildSpec::new("session", \|\| Session::start(7)))?`](crate::actor::DynamicRef::start_child) |
//! | `DynamicSupervisor.terminate_child(sup, pid)` | [`sup.terminate_child(&session)?`](crate::actor::DynamicRef::terminate_child) |
//! | `Application.start`, `stop` | in `main`: `let tree = Supervisor::new(…)….start()?;`, `tree.stop()` |
//!
//! A server that crashes, and the supervisor that starts it again under its name:
//!
//! ```
//! use fibra::actor::{
//!     self, CallError, ChildSpec, Context, ExitReason, GenServer, ReplyTo, Server, Strategy, Supervisor,
//! };
//!
//! struct Stock {
//!     left: u32,
//! }
//!
//! enum Call {
//!     Take(u32, ReplyTo<u32>),
//!     Left(ReplyTo<u32>),
//! }
//!
//! enum Cast {
//!     Put(u32),
//! }
//!
//! impl GenServer for Stock {
//!     type Init = u32;
//!     type Call = Call;
//!     type Cast = Cast;
//!
//!     fn init(left: u32, context: &mut Context<Self>) -> Result<Self, ExitReason> {
//!         actor::register("stock", &context.server()).map_err(ExitReason::failed)?;
//!         Ok(Self { left })
//!     }
//!
//!     fn handle_call(&mut self, call: Call, _: &mut Context<Self>) {
//!         match call {
//!             Call::Take(many, from) => {
//!                 self.left = self.left.checked_sub(many).expect("the stock holds so many");
//!                 from.send(self.left);
//!             }
//!             Call::Left(from) => from.send(self.left),
//!         }
//!     }
//!
//!     fn handle_cast(&mut self, Cast::Put(many): Cast, _: &mut Context<Self>) {
//!         self.left += many;
//!     }
//! }
//!
//! let supervisor = Supervisor::new(Strategy::OneForOne).child(ChildSpec::new("stock", || Stock::start(10))).start()?;
//! let stock: Server<Stock> = actor::whereis("stock").unwrap();
//! stock.cast(Cast::Put(2))?;
//! assert_eq!(stock.call(|from| Call::Take(5, from))?, 7);
//!
//! // Let it crash: the caller is told why, and may go on.
//! let error = stock.call(|from| Call::Take(50, from)).unwrap_err();
//! assert!(matches!(error, CallError::Exited { reason: ExitReason::Panic(_), .. }));
//!
//! // The next one begins anew. `child` waits for a restart that is under way, `whereis` does not.
//! let stock: Server<Stock> = supervisor.child("stock").unwrap();
//! assert_eq!(stock.call(Call::Left)?, 10);
//! assert_eq!(actor::whereis("stock"), Some(stock));
//! supervisor.stop();
//! assert_eq!(actor::whereis::<Server<Stock>>("stock"), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Tasks and agents
//!
//! | Elixir | fibra |
//! | --- | --- |
//! | `t = Task.async(fn -> f() end)` | [`let t = fibra::spawn(\|\| f());`](crate::spawn) |
//! | `Task.await(t)` | [`t.join()`](crate::JoinHandle::join): `Err` holds the payload of a panic |
//! | `Task.shutdown(t)` | [`t.cancel()`](crate::JoinHandle::cancel), `t.join()` |
//! | `Task.async_stream(list, f, max_concurrency: n)` | [`Group::new().limit(n)`](crate::task::Group::limit), `group.spawn(…)`, [`group.next()`](crate::task::Group::next) |
//! | tasks that end with the process | a [`Group`](crate::task::Group) in the actor's state: its drop cancels them, and waits |
//! | `Phoenix.PubSub`, `:pg` | [`channel::broadcast`](crate::channel::broadcast); messages of a channel beside the mailbox's: [`select!`](crate::select) |
//! | `:ets.new(…)`, `:persistent_term` | no counterpart: an `Arc<`[`RwLock`](crate::sync::RwLock)`<HashMap<K, V>>>`, which tasks share |
//! | `Node.connect`, `:rpc`, `:global` | no counterpart: actors are of one process; between two, [`net`](crate::net) |
//! | `code_change`, `:sys.get_state`, `hibernate` | no counterpart |
//!
//! An agent's functions are closures that are sent to it:
//!
//! ```
//! use fibra::actor;
//!
//! type Change = Box<dyn FnOnce(&mut u64) + Send>;
//!
//! let agent = actor::spawn(|_| 0, |state: &mut u64, change: Change| change(state));
//! agent.send(Box::new(|n| *n += 1))?; // Agent.update(agent, fn n -> n + 1 end)
//! let n = agent.call(|from| Box::new(move |n: &mut u64| from.send(*n)) as Change)?; // Agent.get(agent, fn n -> n end)
//! assert_eq!(n, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What differs
//!
//! - *Messages have a type, and answers too.* An actor gets what its enum has variants for, and no stray messages; so
//!   signals come as a variant that the actor names, and a name is looked up together with the type of its handle.
//! - *A failed call is an `Err`*, where Erlang's caller exits. `?` in a handler of [`actor::spawn`](crate::actor::spawn)
//!   that returns `Result<(), ExitReason>` makes it exit. An actor that calls itself is told so at once.
//! - *A mailbox holds 1,024 messages*, and then its senders wait: the slow actor slows down those who overload it.
//!   Erlang's is [`Builder::unbounded`](crate::actor::Builder::unbounded). Two actors that flood each other should
//!   [`try_send`](crate::actor::Address::try_send). Signals always fit.
//! - *Sending to an actor that has ended is an error* which gives the message back, and no silence.
//! - *An actor ends when all its addresses are gone*, since no message can come any more. A registered name and a
//!   supervisor hold one.
//! - *Nothing is preempted.* An exit signal, a kill too, is met where the actor parks or receives; a long computation
//!   meets it in [`cancel::check`](crate::cancel::check). It also holds up the other tasks of its thread, unless it
//!   [yields](crate::yield_now) now and then, or runs in [`blocking`](crate::blocking).
//! - *Memory is shared.* A message is moved and not copied; an `Arc` in it is one value for both sides. A panic drops
//!   the actor's state, and leaves what it shares with others as it is.
//! - *Handlers may block* on sockets, channels and locks, and `terminate` is called without trapping exits too.
//! - *An exit reason is one of a few kinds with a text*, and no term. A monitor of an actor that has ended long ago
//!   tells its reason, and not `noproc`.
//! - *A task is no actor*: it has no links and no mailbox, and a panic in it concerns who joins it.
