//go:build race

package pipeline

// seeds and diskSeeds are how many histories the model tests walk through; the race detector makes each of them slow.
const seeds, diskSeeds = 25, 5
