// What src/lib.rs and src/proc.rs measure for the other peers.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type report map[string]any

func (r report) print() {
	r["peer"], r["cpu_seconds"], r["peak_bytes"] = "go", cpuSeconds(), statusBytes("VmHWM")
	line, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func perOp(ops int, work func()) report {
	start := time.Now()
	work()
	return report{"value": float64(time.Since(start)) / float64(ops), "unit": "ns"}
}

func seconds(work func()) report {
	start := time.Now()
	work()
	return report{"value": time.Since(start).Seconds(), "unit": "s"}
}

func lateness(nanos []int) report {
	slices.Sort(nanos)
	sum := 0
	for _, late := range nanos {
		sum += late
	}
	p99 := nanos[(len(nanos)*99+99)/100-1]
	return report{
		"value": float64(sum) / float64(len(nanos)) / 1e3, "unit": "µs", "p99_us": float64(p99) / 1e3,
	}
}

// The calling thread sleeps in the kernel, not in Go's scheduler, which would be a timer of the runtime.
func idle(seconds int) report {
	runtime.LockOSThread()
	time.Sleep(10 * time.Millisecond)
	kernelSleep(1)
	before, cpu := wakeupsOfOthers(), cpuSeconds()
	kernelSleep(seconds)
	woken := wakeupsOfOthers() - before
	return report{"value": woken, "unit": "wake-ups", "idle_cpu_s": cpuSeconds() - cpu}
}

func kernelSleep(seconds int) {
	left := syscall.Timespec{Sec: int64(seconds)}
	for syscall.Nanosleep(&left, &left) == syscall.EINTR {
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func statusBytes(field string) int {
	return statusNumber("/proc/self/status", field) * 1024
}

func wakeupsOfOthers() int {
	me := strconv.Itoa(syscall.Gettid())
	threads, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		panic(err)
	}
	sum := 0
	for _, status := range threads {
		if filepath.Base(filepath.Dir(status)) != me {
			sum += statusNumber(status, "voluntary_ctxt_switches")
		}
	}
	return sum
}

func statusNumber(file, field string) int {
	status, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, field+":"); found {
			number, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				panic(err)
			}
			return number
		}
	}
	panic("no " + field + " in " + file)
}
