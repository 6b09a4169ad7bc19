//go:build !race

package eventbridge

const raceEnabled = false
