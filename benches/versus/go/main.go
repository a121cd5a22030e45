// The peer go: the workloads of src/lib.rs with goroutines and channels; same command line, same line of output.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	batch    = 10_000
	live     = 1_000
	capacity = 128
	sides    = 4
	children = 10
	settle   = 100 * time.Millisecond
)

// What a run does when --n doesn't say.
var sizes = map[string]int{
	"spawn": 1_000_000, "yield": 5_000_000, "pingpong": 1_000_000, "pingpong_same": 1_000_000, "pingpong_cross": 200_000,
	"spsc": 5_000_000, "mpmc": 4_000_000, "skynet": 1_000_000, "fib": 30, "fib_half": 30, "parked": 100_000, "sleepers": 10_000,
	"lateness": 100_000, "idle": 10,
	"rendezvous": 1_000_000, "mutex_8": 8_000_000, "mutex": 10_000_000, "rwlock_read": 10_000_000, "semaphore": 10_000_000,
	"select": 2_000_000, "timeout_ready": 2_000_000, "timeout_parked": 500_000, "cancel": 20_000, "scope": 200_000,
	"pool_map": 1_000, "actor_spawn": 200_000, "server_spawn": 200_000, "call": 1_000_000, "server_call": 1_000_000,
	"cast": 5_000_000, "server_cast": 5_000_000, "actors_idle": 1_000_000, "restart": 20_000, "echo_server": 0, "echo_readable_server": 0, "http_server": 0,
}

func main() {
	workload, workers, n := arguments()
	if workload == "pingpong_same" {
		workers = 1
	}
	runtime.GOMAXPROCS(workers)
	r := run(workload, n)
	r["workload"], r["workers"], r["n"] = workload, workers, n
	r.print()
}

func arguments() (workload string, workers, n int) {
	usage := func(problem string) {
		fmt.Fprintf(os.Stderr, "%s\nusage: <peer> <workload> [--workers N] [--n N]\n", problem)
		os.Exit(2)
	}
	if len(os.Args) < 2 {
		usage("no workload given")
	}
	workload, workers = os.Args[1], 2
	n, known := sizes[workload]
	if !known {
		usage("no workload is called " + workload)
	}
	fields := map[string]*int{"--workers": &workers, "--n": &n}
	for rest := os.Args[2:]; len(rest) > 0; rest = rest[2:] {
		field := fields[rest[0]]
		if field == nil {
			usage("unknown argument " + rest[0])
		}
		if len(rest) < 2 {
			usage(rest[0] + " needs a number")
		}
		value, err := strconv.Atoi(rest[1])
		if err != nil {
			usage(rest[0] + " needs a number, not " + rest[1])
		}
		*field = value
	}
	return workload, workers, n
}

func run(workload string, n int) report {
	switch workload {
	case "spawn":
		return perOp(n, func() { spawnBatches(n) })
	case "yield":
		return perOp(n, func() { yielders(n) })
	case "pingpong", "pingpong_same":
		return perOp(n, func() { pingpong(n) })
	case "spsc":
		return perOp(n, func() { spsc(n) })
	case "mpmc":
		return perOp(n, func() { mpmc(n) })
	case "skynet":
		return seconds(func() { must(skynet(n) == n*(n-1)/2) })
	case "fib":
		return seconds(func() { fibTree(n) })
	case "fib_half":
		return seconds(func() { fibHalf(n) })
	case "parked":
		return parked(n)
	case "sleepers":
		return seconds(func() { sleepers(n) })
	case "lateness":
		return lateness(latenesses(n))
	case "idle":
		return idle(n)
	case "echo_server":
		return serve(echoServer)
	case "http_server":
		return serve(httpServer)
	case "echo_readable_server":
		return report{"skip": "net doesn't say when a connection can be read"}
	case "actor_spawn", "server_spawn", "call", "server_call", "cast", "server_cast", "actors_idle", "restart":
		return actors(workload, n)
	}
	return coordination(workload, n)
}

func must(holds bool) {
	if !holds {
		panic("wrong result")
	}
}

func spawnBatches(n int) {
	for range n / batch {
		var wg sync.WaitGroup
		wg.Add(batch)
		for range batch {
			go wg.Done()
		}
		wg.Wait()
	}
}

func yielders(n int) {
	var wg sync.WaitGroup
	for range live {
		wg.Go(func() {
			for range n / live {
				runtime.Gosched()
			}
		})
	}
	wg.Wait()
}

func pingpong(n int) {
	ping, pong := make(chan int), make(chan int)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			ping <- i
			must(<-pong == i)
		}
		close(ping)
	})
	wg.Go(func() {
		for i := range ping {
			pong <- i
		}
	})
	wg.Wait()
}

func spsc(n int) {
	items := make(chan int, capacity)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			items <- i
		}
	})
	wg.Go(func() {
		for i := range n {
			must(<-items == i)
		}
	})
	wg.Wait()
}

func mpmc(n int) {
	items := make(chan int, capacity)
	var producers, consumers sync.WaitGroup
	var received atomic.Int64
	for range sides {
		producers.Go(func() {
			for i := range n / sides {
				items <- i
			}
		})
		consumers.Go(func() {
			count := 0
			for range items {
				count++
			}
			received.Add(int64(count))
		})
	}
	producers.Wait()
	close(items)
	consumers.Wait()
	must(int(received.Load()) == n/sides*sides)
}

func skynet(leaves int) int {
	sum := make(chan int, 1)
	go skynetTask(0, leaves, sum)
	return <-sum
}

func skynetTask(first, leaves int, parent chan<- int) {
	if leaves == 1 {
		parent <- first
		return
	}
	part, sums := leaves/children, make(chan int, children)
	for i := range children {
		go skynetTask(first+i*part, part, sums)
	}
	sum := 0
	for range children {
		sum += <-sums
	}
	parent <- sum
}

func fibTree(n int) int {
	var result int
	var wg sync.WaitGroup
	wg.Add(1)
	go fib(n, &result, &wg)
	wg.Wait()
	return result
}

// A WaitGroup for both calls in one allocation with their results: ahead of a channel of capacity two.
func fib(n int, result *int, parent *sync.WaitGroup) {
	defer parent.Done()
	if n < 2 {
		*result = n
		return
	}
	var calls struct {
		wg   sync.WaitGroup
		a, b int
	}
	calls.wg.Add(2)
	go fib(n-1, &calls.a, &calls.wg)
	go fib(n-2, &calls.b, &calls.wg)
	calls.wg.Wait()
	*result = calls.a + calls.b
}

func fibHalf(n int) int {
	if n < 2 {
		return n
	}
	a := make(chan int, 1)
	go func() { a <- fibHalf(n - 1) }()
	b := fibHalf(n - 2)
	return <-a + b
}

func parked(n int) report {
	wake := make(chan struct{})
	var arrived atomic.Int64
	var wg sync.WaitGroup
	start, rss, pte := time.Now(), statusBytes("VmRSS"), statusBytes("VmPTE")
	wg.Add(n)
	for range n {
		go func() {
			arrived.Add(1)
			<-wake
			wg.Done()
		}()
	}
	for arrived.Load() < int64(n) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(settle)
	spawned := time.Since(start)
	perTask := func(now, before int) float64 { return float64(now-before) / float64(n) }
	r := report{
		"value": perTask(statusBytes("VmRSS"), rss), "unit": "B",
		"pte_per_task": perTask(statusBytes("VmPTE"), pte), "spawn_s": spawned.Seconds(),
	}
	start = time.Now()
	close(wake)
	wg.Wait()
	r["wake_join_s"] = time.Since(start).Seconds()
	return r
}

func sleepers(n int) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { time.Sleep(time.Second) })
	}
	wg.Wait()
}

func latenesses(n int) []int {
	late := make([]int, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			nap := time.Duration(i*7919%1000+1) * time.Millisecond
			start := time.Now()
			time.Sleep(nap)
			late[i] = int(time.Since(start) - nap)
		})
	}
	wg.Wait()
	return late
}
