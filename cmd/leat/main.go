// Command leat runs event pipelines. A build with plugins of one's own is this file with one more import, which `leat
// build` writes too.
package main

import (
	"os"

	"github.com/leatdev/leat/cmd"
	_ "github.com/leatdev/leat/cmd/standard"
)

func main() { os.Exit(cmd.Main()) }
