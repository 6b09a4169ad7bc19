// Command leat with the plugins of this module beside the standard ones.
package main

import (
	"os"

	"github.com/leatdev/leat/cmd"
	_ "github.com/leatdev/leat/cmd/standard"

	_ "example.com/bank/account"
	_ "example.com/bank/mask"
)

func main() { os.Exit(cmd.Main()) }
