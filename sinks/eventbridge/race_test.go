//go:build race

package eventbridge

const raceEnabled = true
