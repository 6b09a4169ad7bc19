package main

// The standard plugins. A build with others is a main of its own with other imports.
import (
	_ "github.com/leatdev/leat/pipeline/eventstore/memory"
	_ "github.com/leatdev/leat/pipeline/eventstore/postgres"
	_ "github.com/leatdev/leat/pipeline/eventstore/sqlite"
	_ "github.com/leatdev/leat/sinks/eventbridge"
	_ "github.com/leatdev/leat/sinks/file"
	_ "github.com/leatdev/leat/sinks/http"
	_ "github.com/leatdev/leat/sinks/sqs"
	_ "github.com/leatdev/leat/sinks/stdout"
	_ "github.com/leatdev/leat/sources/file"
	_ "github.com/leatdev/leat/sources/generate"
	_ "github.com/leatdev/leat/sources/http"
	_ "github.com/leatdev/leat/sources/outbox"
	_ "github.com/leatdev/leat/sources/putevents"
	_ "github.com/leatdev/leat/sources/schedule"
	_ "github.com/leatdev/leat/sources/sqs"
)
