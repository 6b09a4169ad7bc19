//go:build !race

package pipeline

// seeds and diskSeeds are how many histories the model tests walk through.
const seeds, diskSeeds = 200, 15
