// What goroutines coordinate with: locks, rendezvous, select, deadlines, contexts.
package main

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	lockers   = 8
	fill      = 1_000
	cancelled = 100
	far       = time.Minute
)

func coordination(workload string, n int) report {
	switch workload {
	case "rendezvous":
		return perOp(n, func() { rendezvous(n) })
	case "mutex_8":
		return perOp(n, func() { mutex8(n) })
	case "mutex":
		return alone(n, mutex)
	case "rwlock_read":
		return alone(n, rwlockRead)
	case "semaphore":
		return alone(n, semaphore)
	case "select":
		return chooseReady(n)
	case "timeout_ready":
		return deadlines(roundUp(n, turnCount*fill), receiveReady)
	case "timeout_parked":
		runtime.GOMAXPROCS(1)
		return deadlines(n, receiveParked)
	case "cancel":
		anywhere := cancelParked(n)
		runtime.GOMAXPROCS(1)
		r := cancelParked(n)
		r["placed_by_runtime_us"] = anywhere["value"]
		return r
	case "pool_map":
		return report{"skip": "Go has no parallel map"}
	case "scope":
		return report{"skip": "a scope is compared with a spawn of the same runtime"}
	}
	return report{"skip": "Go places its tasks itself"}
}

func rendezvous(n int) {
	items := make(chan int)
	var senders, receivers sync.WaitGroup
	var received atomic.Int64
	each := n / sides
	for range sides {
		senders.Go(func() {
			for i := range each {
				items <- i
			}
		})
		receivers.Go(func() {
			sum := 0
			for i := range items {
				sum += i
			}
			received.Add(int64(sum))
		})
	}
	senders.Wait()
	close(items)
	receivers.Wait()
	must(int(received.Load()) == sides*(each*(each-1)/2))
}

func mutex8(n int) {
	var lock sync.Mutex
	var wg sync.WaitGroup
	counter := 0
	for range lockers {
		wg.Go(func() {
			for range n / lockers {
				lock.Lock()
				counter++
				lock.Unlock()
			}
		})
	}
	wg.Wait()
	must(counter == n/lockers*lockers)
}

// On the heap, as a lock is that somebody else may want.
var (
	theMutex   = new(sync.Mutex)
	theRWMutex = new(sync.RWMutex)
	theCounter = new(int)
)

func mutex(n int) {
	*theCounter = 0
	for range n {
		theMutex.Lock()
		*theCounter++
		theMutex.Unlock()
	}
	must(*theCounter == n)
}

func rwlockRead(n int) {
	*theCounter = 1
	sum := 0
	for range n {
		theRWMutex.RLock()
		sum += *theCounter
		theRWMutex.RUnlock()
	}
	must(sum == n)
}

// A channel with room for one is how Go's programs limit.
func semaphore(n int) {
	permits := make(chan struct{}, 1)
	for range n {
		permits <- struct{}{}
		<-permits
	}
	must(len(permits) == 0)
}

// Whole fills in each turn; none of the channels is ever empty before a choice.
func chooseReady(n int) report {
	n = roundUp(n, turnCount*fill)
	var taken [2]int
	nanos := turns(n, func(ops int) time.Duration {
		one, two := make(chan int, fill), make(chan int, fill)
		missing := [2]int{fill, fill}
		var took time.Duration
		for range ops / fill {
			for range missing[0] {
				one <- 0
			}
			for range missing[1] {
				two <- 1
			}
			missing = [2]int{}
			start := time.Now()
			for range fill {
				select {
				case message := <-one:
					missing[message]++
				case message := <-two:
					missing[message]++
				}
			}
			took += time.Since(start)
			taken[0] += missing[0]
			taken[1] += missing[1]
		}
		return took
	})
	all := allOf(n)
	must(taken[0]+taken[1] == all && taken[0] > all*2/5 && taken[1] > all*2/5)
	return report{"value": median(nanos[0]), "unit": "ns"}
}

// How a message is received.
type receiver func(<-chan int) int

func plain(messages <-chan int) int {
	return <-messages
}

// With a context, as callers hand deadlines down.
func withContext(messages <-chan int) int {
	ctx, cancel := context.WithTimeout(context.Background(), far)
	defer cancel()
	select {
	case message := <-messages:
		return message
	case <-ctx.Done():
		panic(ctx.Err())
	}
}

// With a timer of its own: the collector takes it away, and stops it.
func withAfter(messages <-chan int) int {
	select {
	case message := <-messages:
		return message
	case <-time.After(far):
		panic("too late")
	}
}

func deadlines(n int, side func(ops int, receive receiver) time.Duration) report {
	with := func(receive receiver) func(int) time.Duration {
		return func(ops int) time.Duration { return side(ops, receive) }
	}
	nanos := turns(n, with(withAfter), with(plain), with(withContext))
	return report{
		"value": extra(nanos[0], nanos[1]), "unit": "ns", "with_ns": median(nanos[0]), "without_ns": median(nanos[1]),
		"context_more_ns": extra(nanos[2], nanos[1]),
	}
}

func receiveReady(ops int, receive receiver) time.Duration {
	messages := make(chan int, fill)
	var took time.Duration
	for range ops / fill {
		for i := range fill {
			messages <- i
		}
		start := time.Now()
		for i := range fill {
			must(receive(messages) == i)
		}
		took += time.Since(start)
	}
	return took
}

func receiveParked(ops int, receive receiver) time.Duration {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for i := range ping {
			pong <- i
		}
		close(pong)
	}()
	start := time.Now()
	for i := range ops {
		ping <- i
		must(receive(pong) == i)
	}
	took := time.Since(start)
	close(ping)
	<-pong
	return took
}

type cancellable struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func cancelParked(n int) report {
	var arrived, ended atomic.Int64
	var batches []float64
	for range n / cancelled {
		before := arrived.Load()
		var tasks []cancellable
		for range cancelled {
			ctx, cancel := context.WithCancel(context.Background())
			task := cancellable{cancel, make(chan struct{})}
			tasks = append(tasks, task)
			go func() {
				defer close(task.done)
				defer ended.Add(1)
				arrived.Add(1)
				<-ctx.Done()
			}()
		}
		for arrived.Load() < before+cancelled {
			runtime.Gosched()
		}
		time.Sleep(time.Millisecond)
		start := time.Now()
		for _, task := range tasks {
			task.cancel()
			<-task.done
		}
		batches = append(batches, float64(time.Since(start))/cancelled/1e3)
	}
	must(int(ended.Load()) == n/cancelled*cancelled)
	return report{"value": median(batches), "unit": "µs"}
}
