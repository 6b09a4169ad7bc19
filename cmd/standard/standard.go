// Package standard is the plugins that come with leat, as imports. A main that wants all of them and some of its own is
//
//	import (
//		"os"
//
//		"github.com/leatdev/leat/cmd"
//		_ "github.com/leatdev/leat/cmd/standard"
//
//		_ "example.com/your/plugin"
//	)
//
//	func main() { os.Exit(cmd.Main()) }
//
// One that wants fewer imports those that it wants, and not this package. No other package of leat imports implementations.
package standard

import (
	_ "github.com/leatdev/leat/handlers/httpenrich"
	_ "github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	_ "github.com/leatdev/leat/pipeline/eventstore/memory"
	_ "github.com/leatdev/leat/pipeline/eventstore/postgres"
	_ "github.com/leatdev/leat/pipeline/eventstore/sqlite"
	_ "github.com/leatdev/leat/sinks/eventbridge"
	_ "github.com/leatdev/leat/sinks/file"
	_ "github.com/leatdev/leat/sinks/http"
	_ "github.com/leatdev/leat/sinks/sns"
	_ "github.com/leatdev/leat/sinks/sqs"
	_ "github.com/leatdev/leat/sinks/stdout"
	_ "github.com/leatdev/leat/sources/eventbridge"
	_ "github.com/leatdev/leat/sources/eventlog"
	_ "github.com/leatdev/leat/sources/file"
	_ "github.com/leatdev/leat/sources/generate"
	_ "github.com/leatdev/leat/sources/http"
	_ "github.com/leatdev/leat/sources/outbox"
	_ "github.com/leatdev/leat/sources/putevents"
	_ "github.com/leatdev/leat/sources/schedule"
	_ "github.com/leatdev/leat/sources/sns"
	_ "github.com/leatdev/leat/sources/sqs"
)
