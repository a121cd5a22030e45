// Actors as Go writes them: a goroutine that loops over a channel, with a channel of its own for each answer. It ends when
// its channel is closed, and closes another one then.
package main

import "time"

const mailbox = 1024

// A message without a channel for the answer is a number to be added; one below zero asks for the sum.
type message struct {
	value int
	reply chan<- int
}

type actor struct {
	mailbox chan message
	done    chan struct{}
}

func actors(workload string, n int) report {
	switch workload {
	case "actor_spawn":
		return alone(n, lives)
	case "call":
		a := spawnActor(0)
		return alone(n, func(ops int) { calls(a, ops) })
	case "cast":
		a := spawnActor(mailbox)
		return alone(n, func(ops int) { casts(a, ops) })
	case "actors_idle":
		return idleActors(n)
	}
	return report{"skip": "Go has neither servers nor supervisors"}
}

func spawnActor(capacity int) actor {
	a := actor{make(chan message, capacity), make(chan struct{})}
	go a.run()
	return a
}

func (a actor) run() {
	defer close(a.done)
	sum := 0
	for m := range a.mailbox {
		switch {
		case m.reply == nil:
			sum += m.value
		case m.value < 0:
			m.reply <- sum
			sum = 0
		default:
			m.reply <- m.value
		}
	}
}

func (a actor) call(value int) int {
	reply := make(chan int, 1)
	a.mailbox <- message{value, reply}
	return <-reply
}

func (a actor) end() {
	close(a.mailbox)
	<-a.done
}

func lives(ops int) {
	for i := range ops {
		a := spawnActor(0)
		must(a.call(i) == i)
		a.end()
	}
}

func calls(a actor, ops int) {
	for i := range ops {
		must(a.call(i) == i)
	}
}

func casts(a actor, ops int) {
	for i := range ops {
		a.mailbox <- message{value: i + 1}
	}
	must(a.call(-1) == ops*(ops+1)/2)
}

// What src/actors.rs does for the other peers.
func idleActors(n int) report {
	memory := func() [2]int { return [2]int{statusBytes("VmRSS"), statusBytes("VmPTE")} }
	perActor := func(now, before int) float64 { return float64(now-before) / float64(n) }
	before, start := memory(), time.Now()
	waiting := make([]actor, 0, n)
	begun := make(chan struct{})
	for range n {
		a := actor{make(chan message), make(chan struct{})}
		go func() {
			begun <- struct{}{}
			a.run()
		}()
		<-begun
		waiting = append(waiting, a)
	}
	time.Sleep(settle)
	spawned, after := time.Since(start), memory()
	start = time.Now()
	for _, a := range waiting {
		must(a.call(1) == 1)
	}
	called, afterCall := time.Since(start), memory()
	start = time.Now()
	for _, a := range waiting {
		a.end()
	}
	return report{
		"value": perActor(after[0], before[0]), "unit": "B",
		"pte_per_actor": perActor(after[1], before[1]), "after_a_call": perActor(afterCall[0], before[0]),
		"spawn_s": spawned.Seconds(), "call_s": called.Seconds(), "end_s": time.Since(start).Seconds(),
	}
}
