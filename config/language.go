package config

import (
	"path/filepath"
	"time"

	"github.com/leatdev/leat/pipeline/event"
)

// Config is everything that the files of one command line say, checked.
type Config struct {
	Files     []string
	Pipelines []*Pipeline // in the order of the files
	// Stores by name. Where there are pipelines "main" is there always: SQLite in ${LEAT_DATA:-./data} unless a file
	// says otherwise. Without pipelines the daemon is an event store with the stores that the files name.
	Stores map[string]Plugin
	// Databases are those that tables may lie in besides the stores' own, by name.
	Databases map[string]Plugin
	Tables    map[string]*Table
	Server    Server
	Telemetry Telemetry
	// Tests in the order of the files.
	Tests []*Test
	// AWS is what the AWS plugins registered as their common settings (RegisterSettings); nil in a build without them.
	AWS any

	rawTests []Raw

	// noEnv: texts may hold ${…} that were not replaced.
	noEnv bool
	// otherAWS is the section of a build that has no AWS plugins.
	otherAWS map[string]Raw
}

// Telemetry is what the daemon says of itself.
type Telemetry struct {
	Logs   LogSettings `yaml:"logs,omitempty" doc:"structured logs on stderr"`
	Traces Traces      `yaml:"traces,omitempty" doc:"OpenTelemetry spans, sent by OTLP over HTTP; what is not set here the standard OTEL_* variables say"`
}

// Traces say where spans go. They are off unless an endpoint is set, here or by OTEL_EXPORTER_OTLP_ENDPOINT, or
// OTEL_TRACES_EXPORTER is otlp.
type Traces struct {
	Endpoint string            `yaml:"endpoint,omitempty" doc:"base URL of the collector; /v1/traces is added" example:"http://collector:4318"`
	Headers  map[string]Secret `yaml:"headers,omitempty" doc:"headers that the collector asks for"`
	Sample   *float64          `yaml:"sample,omitempty" min:"0" max:"1" doc:"share of traces that are sampled where they begin here, 0 to 1; one that comes from elsewhere is sampled as it was there"`
	Service  string            `yaml:"service,omitempty" doc:"service.name of the spans; default: OTEL_SERVICE_NAME, else leat"`
}

// Validate implements Validator.
func (t Traces) Validate() error {
	if t.Endpoint == "" {
		return nil
	}
	return HTTPURL("endpoint", t.Endpoint)
}

// LogSettings choose form and amount of logs.
type LogSettings struct {
	Level  string `yaml:"level,omitempty" default:"info" enum:"debug,info,warn,error" doc:"least level that is written"`
	Format string `yaml:"format,omitempty" default:"auto" enum:"auto,text,json" doc:"auto: text on a terminal, else json"`
}

// Pipeline is one pipeline, with its defaults filled in and its fragments put in.
type Pipeline struct {
	Name   string
	Pos    Pos
	Source Source
	Steps  []Step
	Retry  Retry         `yaml:"retry,omitempty" doc:"attempts of an event's own failures"`
	Poison Poison        `yaml:"poison,omitempty" doc:"what happens to events that failed for good"`
	Store  string        `yaml:"store,omitempty" default:"main" doc:"name of the store"`
	Limits Limits        `yaml:"limits,omitempty" doc:"what may be in flight"`
	Outbox bool          `yaml:"outbox,omitempty" doc:"record each event in $outbox.<pipeline> before anything is sent"`
	Drain  time.Duration `yaml:"drain,omitempty" default:"25s" doc:"how long work in flight may take to finish at a stop"`
	Lease  time.Duration `yaml:"lease,omitempty" default:"10s" min:"1s" max:"10m" doc:"how long a replica may be silent before another takes over its relays; for stores that several processes share"`
	// FileSum is over the files that its plugins read (Reading).
	FileSum string
}

// Defaults is what every pipeline starts from.
type Defaults struct {
	Retry  Retry         `yaml:"retry,omitempty" doc:"attempts of an event's own failures"`
	Poison Poison        `yaml:"poison,omitempty" doc:"what happens to events that failed for good"`
	Store  string        `yaml:"store,omitempty" default:"main" doc:"name of the store"`
	Limits Limits        `yaml:"limits,omitempty" doc:"what may be in flight"`
	Drain  time.Duration `yaml:"drain,omitempty" default:"25s" doc:"how long work in flight may take to finish at a stop"`
	Lease  time.Duration `yaml:"lease,omitempty" default:"10s" min:"1s" max:"10m" doc:"how long a replica may be silent before another takes over its relays; for stores that several processes share"`
}

// Limits bound what a pipeline holds in memory.
type Limits struct {
	Events    int  `yaml:"events,omitempty" default:"10000" min:"1" doc:"source events in flight"`
	Bytes     Size `yaml:"bytes,omitempty" default:"16MiB" min:"1KiB" doc:"bytes of source events in flight"`
	EventSize Size `yaml:"event_size,omitempty" default:"1MiB" min:"1KiB" max:"64MiB" doc:"largest body of one event; larger ones are poisoned"`
}

// Retry bounds the attempts of one event. The wait grows by Multiplier from Initial to Max, with jitter.
type Retry struct {
	Attempts   int           `yaml:"attempts,omitempty" default:"5" min:"1" doc:"attempts in all, the first included"`
	Initial    time.Duration `yaml:"initial,omitempty" default:"200ms" min:"1ms" doc:"wait before the second attempt"`
	Max        time.Duration `yaml:"max,omitempty" default:"30s" min:"1ms" doc:"longest wait"`
	Multiplier float64       `yaml:"multiplier,omitempty" default:"2" min:"1" max:"100" doc:"growth of the wait"`
	Timeout    time.Duration `yaml:"timeout,omitempty" default:"30s" min:"1ms" doc:"for one attempt of a step that waits for others"`
	Outage     string        `yaml:"outage,omitempty" default:"wait" enum:"wait,poison" doc:"a sink that is down: wait for it, or poison after the attempts"`
}

// Poison says what happens to events that failed for good. They are always parked in the store.
type Poison struct {
	Copy *Plugin `yaml:"copy,omitempty" plugin:"sink" doc:"a sink that also gets each of them"`
	Hold string  `yaml:"hold,omitempty" default:"stream" enum:"stream,none,pipeline" doc:"what waits behind a poisoned event in a relay"`
}

// Source is a source with its frame.
type Source struct {
	Plugin   Plugin
	OrderBy  Expr         `yaml:"order_by,omitempty" doc:"events with the same value are handled one after another, others side by side; takes the place of what the source keeps in order by itself, also of a FIFO queue's groups"`
	Limits   SourceLimits `yaml:"limits,omitempty" doc:"what one batch may hold"`
	Envelope string       `yaml:"envelope,omitempty" default:"auto" enum:"auto,eventbridge,cloudevents,sns,json" doc:"shape of the bodies"`
	Event    EventMap     `yaml:"event,omitempty" doc:"expressions that make an event of a plain body (it is data)"`
	Pos      Pos
}

// SourceLimits bound one batch.
type SourceLimits struct {
	Events int  `yaml:"events,omitempty" default:"1000" min:"1" max:"100000" doc:"events in one batch"`
	Bytes  Size `yaml:"bytes,omitempty" default:"1MiB" min:"1KiB" doc:"bytes in one batch"`
}

// EventMap makes an event of a plain body.
type EventMap struct {
	ID      Expr `yaml:"id,omitempty" doc:"the event's id"`
	Type    Expr `yaml:"type,omitempty" doc:"the event's type"`
	Source  Expr `yaml:"source,omitempty" doc:"the event's source"`
	Subject Expr `yaml:"subject,omitempty" doc:"the event's subject"`
	Time    Expr `yaml:"time,omitempty" want:"time" doc:"the event's time"`
	Data    Expr `yaml:"data,omitempty" doc:"the payload; default: the whole body"`
}

// Step is a step with its frame; just one of the pointers is set.
type Step struct {
	Pos    Pos
	Name   string     `yaml:"name,omitempty" doc:"the step's name: its identity in state, metrics and poison"`
	When   Expr       `yaml:"when,omitempty" want:"bool" doc:"the step is for events for which this is true"`
	Retry  *Retry     `yaml:"retry,omitempty" doc:"instead of the pipeline's"`
	Limits StepLimits `yaml:"limits,omitempty" doc:"bounds of the step"`
	Batch  StepBatch  `yaml:"batch,omitempty" doc:"how a relay gathers events for its target"`
	From   string     `yaml:"from,omitempty" doc:"where a new relay starts: start, now, a position or a time"`
	Was    string     `yaml:"was,omitempty" doc:"the relay's earlier name: it goes on from that one's place"`
	Shards int        `yaml:"shards,omitempty" min:"1" max:"256" doc:"relays that share the streams of a forward, on one replica or several; fixed when the relay is created; without it one"`

	Filter  *Expr    `yaml:"-"`
	Match   *Pattern `yaml:"-"`
	Map     *Map     `yaml:"-"`
	Append  *Append  `yaml:"-"`
	Project *Project `yaml:"-"`
	Forward *Forward `yaml:"-"`
	Handle  *Plugin  `yaml:"-"`
	Split   *Split   `yaml:"-"`

	Validate *Validate `yaml:"-"`
	Lookup   *Lookup   `yaml:"-"`
	Branch   []Case    `yaml:"-"`
}

// Validate checks the payload against a JSON Schema.
type Validate struct {
	Schema  string `yaml:"schema" doc:"folder of JSON Schemas, <schema>/<type>/<version>.json, for the payload; relative to the file that says so" example:"schemas/shop"`
	Version Expr   `yaml:"version,omitempty" doc:"gives the version; default: metadata.dataversion, which leat's publisher writes. Where it gives nothing, the newest is meant" example:"data.version"`
	Invalid string `yaml:"invalid,omitempty" default:"poison" enum:"reject,poison,drop" doc:"reject: the source event is dropped and its sender told (http: 422); poison: it is parked, and its sender told; drop: it is dropped"`
	Unknown string `yaml:"unknown,omitempty" default:"invalid" enum:"invalid,pass" doc:"what a type or version without a schema means"`
	// Sum is over the files of the folder.
	Sum string
}

// Folder gives the folder of the schemas; at is the step's place.
func (v *Validate) Folder(at Pos) string {
	if filepath.IsAbs(v.Schema) {
		return v.Schema
	}
	return filepath.Join(filepath.Dir(at.File), v.Schema)
}

// Lookup reads a row of a table into the event.
type Lookup struct {
	Table   string      `yaml:"table" doc:"the table" example:"customers"`
	Store   string      `yaml:"store,omitempty" doc:"the store that the table is in; default: the pipeline's"`
	Key     Exprs       `yaml:"key" doc:"columns and the values that find the row" example:"{ id: data.customer_id }"`
	Into    string      `yaml:"into,omitempty" doc:"path within data or metadata that gets the row, an object with a member for each column; default: data.TABLE" example:"data.customer"`
	Columns []string    `yaml:"columns,omitempty" doc:"columns that are taken; default: all"`
	Missing string      `yaml:"missing,omitempty" default:"poison" enum:"poison,null,drop,retry" doc:"what it means that there is no row: null goes into the event, drop drops it, retry counts as an attempt"`
	Cache   LookupCache `yaml:"cache,omitempty" doc:"rows that are used again"`
}

// LookupCache bounds which rows are used again.
type LookupCache struct {
	TTL  time.Duration `yaml:"ttl,omitempty" doc:"how long a row, or that there is none, is used again; 0: never"`
	Rows int           `yaml:"rows,omitempty" default:"10000" min:"1" max:"1000000" doc:"rows that are kept"`
}

// Place gives the path that the row goes to.
func (l *Lookup) Place() string {
	if l.Into == "" {
		return "data." + l.Table
	}
	return l.Into
}

// Split makes several events of one.
type Split struct {
	Each Expr `yaml:"each" want:"list" doc:"an array: one event for each item of it; none where there is none" example:"data.items"`
	Data Tree `yaml:"data,omitempty" sees:"event,log,item" doc:"payload of each: a nested map of expressions, or one, that see item and index; default: the item"`
}

// Case is one way of a branch; just one of Match, When and Else is set.
type Case struct {
	Pos   Pos
	Match *Pattern `yaml:"match,omitempty" doc:"an event pattern: the case is for events that match it"`
	When  Expr     `yaml:"when,omitempty" want:"bool" doc:"the case is for events for which this is true"`
	Else  bool     `yaml:"else,omitempty" doc:"true: the case is for all that no case above is for; it stands last"`
	// Steps are those of the case; behind them the event goes on behind the branch.
	Steps []Step
}

// StepLimits bound a step.
type StepLimits struct {
	Parallel int     `yaml:"parallel,omitempty" min:"1" max:"1000" doc:"calls at the same time (default 1); of a handle or lookup above append: events of one batch at a time, or with order_by or a FIFO queue that many lanes, then 100 by default"`
	Rate     float64 `yaml:"rate,omitempty" doc:"events a second; 0: no bound"`
}

// StepBatch says how a relay gathers events.
type StepBatch struct {
	Events int           `yaml:"events,omitempty" default:"1000" min:"1" max:"100000" doc:"events in one call"`
	Bytes  Size          `yaml:"bytes,omitempty" default:"4MiB" min:"1KiB" doc:"bytes in one call"`
	Wait   time.Duration `yaml:"wait,omitempty" doc:"how long a batch that is not full waits for more"`
}

// Map changes the event.
type Map struct {
	Set   Tree     `yaml:"set,omitempty" doc:"paths (data.x, subject, metadata.y, nested or dotted) and the expressions that give their values"`
	Unset []string `yaml:"unset,omitempty" doc:"paths to take away"`
}

// EventFields are the fields by which append and forward write another event than the one in hand.
type EventFields struct {
	ID      Text `yaml:"id,omitempty" doc:"id of the event that is written"`
	Type    Text `yaml:"type,omitempty" doc:"its type"`
	Source  Text `yaml:"source,omitempty" doc:"its source"`
	Subject Text `yaml:"subject,omitempty" doc:"its subject"`
	Time    Text `yaml:"time,omitempty" doc:"its time, RFC 3339"`
	Data    Tree `yaml:"data,omitempty" doc:"its payload: a nested map of expressions, or one expression"`
}

// Append writes the event to a stream.
type Append struct {
	Stream      Text       `yaml:"stream,omitempty" doc:"the stream, type/id; below a handle that names streams (an aggregate) it may be left out"`
	Expect      Text       `yaml:"expect,omitempty" doc:"any, no_stream, stream_exists or a revision; default: the revision that the handler has loaded where the stream is one of its, else any"`
	OnConflict  OnConflict `yaml:"on_conflict,omitempty" doc:"what happens when the stream is not where it was expected"`
	EventFields `yaml:",inline"`
}

// OnConflict is one word for every conflict, or one for repeats and one for early events.
type OnConflict struct {
	Behind string `yaml:"behind,omitempty" default:"retry" enum:"retry,poison,drop" doc:"the stream is past the expected revision: a repeat"`
	Ahead  string `yaml:"ahead,omitempty" default:"retry" enum:"retry,poison,drop" doc:"the stream is not yet there: an early event"`
}

// Project changes rows of a table.
type Project struct {
	Table  string            `yaml:"table" doc:"the table"`
	Key    Exprs             `yaml:"key,omitempty" sees:"event,log,item" doc:"columns that identify the row, with their values"`
	Where  Expr              `yaml:"where,omitempty" want:"bool" sees:"event,log,row,item" doc:"instead of key: every row for which this is true"`
	Each   Expr              `yaml:"each,omitempty" want:"list" sees:"event,log" doc:"an array: once for each item of it"`
	ByType map[string]RowOps `yaml:"by_type,omitempty" doc:"changes by event type; other types change nothing"`
	Inline bool              `yaml:"inline,omitempty" doc:"in the append's own transaction"`
	RowOps `yaml:",inline"`
}

// RowOps are changes of a row.
type RowOps struct {
	Set    Exprs    `yaml:"set,omitempty" sees:"event,log,row,item" doc:"columns and their new values"`
	Add    Exprs    `yaml:"add,omitempty" sees:"event,log,row,item" want:"number" doc:"columns and what is added, in exact decimals"`
	Unset  []string `yaml:"unset,omitempty" doc:"columns that become null"`
	Append Exprs    `yaml:"append,omitempty" sees:"event,log,row,item" doc:"array columns and what is put at their end"`
	Delete Expr     `yaml:"delete,omitempty" sees:"event,log,row,item" want:"bool" doc:"true: the row goes"`
}

// Forward writes the event to a sink.
type Forward struct {
	Sink        Plugin
	Envelope    string  `yaml:"envelope,omitempty" default:"received" enum:"received,eventbridge,cloudevents,data" doc:"shape in which it leaves"`
	Notify      *Notify `yaml:"notify,omitempty" doc:"instead of the event a notification that its stream has a new revision: {\"StreamId\", \"StreamType\", \"StreamRevision\": \"18\"}; in messages of SQS and SNS these are attributes too"`
	EventFields `yaml:",inline"`
}

// Notify asks for notifications. It has no settings.
type Notify struct{}

// Notifying is implemented by config structs of sinks whose messages have attributes: it gives the struct with the
// attributes of a notification where it names none of its own.
type Notifying interface {
	Notifying() any
}

// NoticeAttributes are the attributes of a notification, and the parts of its payload that they hold.
func NoticeAttributes() map[string]Expr {
	return map[string]Expr{"StreamId": {Source: "data.StreamId"}, "StreamType": {Source: "data.StreamType"}, "StreamRevision": {Source: "data.StreamRevision"}}
}

// Table is a table's definition.
type Table struct {
	Name    string
	Pos     Pos
	Columns []TableColumn `yaml:"columns,omitempty" doc:"columns and their types: text, integer, numeric, boolean, timestamp, json, any; without it they come from the projections"`
	Indexes [][]string    `yaml:"indexes,omitempty" doc:"columns of each index"`
	Version int           `yaml:"version,omitempty" default:"1" min:"1" doc:"raise it when the projection changes its meaning"`
	In      string        `yaml:"in,omitempty" doc:"name of the database that holds the table, of databases; without it that of the pipeline's store" example:"reporting"`
}

// InStores gives the tables as if each lay in its pipeline's store: for runs that touch no database.
func InStores(tables map[string]*Table) map[string]*Table {
	out := make(map[string]*Table, len(tables))
	for name, t := range tables {
		own := *t
		own.In = ""
		out[name] = &own
	}
	return out
}

// TableColumn is one column, in the file's order.
type TableColumn struct {
	Name string
	Type string // one of ColumnTypes, integer, numeric, boolean, timestamp, json, any
}

// EnvelopeOf gives the source's envelope as the codec takes it.
func (s *Source) EnvelopeOf() event.Envelope {
	e, err := event.ParseEnvelope(s.Envelope)
	if err != nil {
		return event.Auto // the decoder has checked the enum
	}
	return e
}

// ColumnTypes are the types that a table's columns may have.
var ColumnTypes = []string{"text", "integer", "numeric", "boolean", "timestamp", "json", "any"}
