//go:build !unix

package pgtest

import (
	"os"
	"os/exec"
)

func giveAway(string) error               { return nil }
func unprivileged(*exec.Cmd)              {}
func stopSignal(immediate bool) os.Signal { return os.Kill }
