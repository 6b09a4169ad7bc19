// Command leat runs event pipelines. A build with plugins of one's own is this file and another plugins.go.
package main

import (
	"os"

	"github.com/leatdev/leat/cmd"
)

func main() { os.Exit(cmd.Main()) }
