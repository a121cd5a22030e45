// What src/turns.rs does for the other peers.
package main

import (
	"slices"
	"time"
)

const turnCount = 201

func eachOf(n int) int {
	return (n + turnCount - 1) / turnCount
}

func allOf(n int) int {
	return eachOf(n) * (turnCount + 1)
}

func roundUp(n, step int) int {
	return (n + step - 1) / step * step
}

// turns lets each side do about n operations, a slice of each in turn; nanoseconds an operation for each turn.
func turns(n int, sides ...func(ops int) time.Duration) [][]float64 {
	ops, nanos := eachOf(n), make([][]float64, len(sides))
	for turn := range turnCount + 1 {
		for i := range sides {
			side := (i + turn) % len(sides)
			took := sides[side](ops)
			if turn > 0 {
				nanos[side] = append(nanos[side], float64(took)/float64(ops))
			}
		}
	}
	return nanos
}

// alone takes turns with nobody: nanoseconds an operation, however often the core is taken away in between.
func alone(n int, side func(ops int)) report {
	nanos := turns(n, func(ops int) time.Duration {
		start := time.Now()
		side(ops)
		return time.Since(start)
	})
	return report{"value": median(nanos[0]), "unit": "ns"}
}

// extra is by how much side takes longer than other: the median of the turns' differences.
func extra(side, other []float64) float64 {
	var differences []float64
	for i := range side {
		differences = append(differences, side[i]-other[i])
	}
	return median(differences)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
