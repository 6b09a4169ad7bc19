package config

import (
	"errors"
	"reflect"
	"time"
)

// The plugins of the tests: each has the kinds of fields that real ones have.

type fileSource struct {
	Path   []string `yaml:"path" doc:"file, glob or -" example:"in.ndjson"`
	Follow bool     `yaml:"follow,omitempty" doc:"wait for more"`
	From   string   `yaml:"from,omitempty" default:"start" enum:"start,end" doc:"where to begin"`
}

type sqsSource struct {
	Queue   string        `yaml:"queue" doc:"the queue" example:"orders"`
	Wait    time.Duration `yaml:"wait,omitempty" default:"20s" max:"20s" doc:"long poll"`
	Workers int           `yaml:"workers,omitempty" default:"1" min:"1" max:"64" doc:"receivers"`
	Region  string        `yaml:"region,omitempty" doc:"AWS region"`
}

type busSource struct {
	Bus     string  `yaml:"bus,omitempty" default:"default" doc:"the bus"`
	Queue   string  `yaml:"queue,omitempty" doc:"the queue that the rule feeds"`
	Pattern Pattern `yaml:"pattern,omitempty" doc:"which events"`
}

func (b busSource) Place() string { return "bus " + b.Bus }

type logSource struct {
	_       struct{} `doc:"reads the log" example:"{ origins: [orders] }"`
	Type    string   `yaml:"type,omitempty" doc:"stream type"`
	Store   string   `yaml:"store,omitempty" doc:"the store"`
	Origins []string `yaml:"origins,omitempty" doc:"pipelines"`
	Streams []string `yaml:"streams,omitempty" doc:"stream types"`
	Types   []string `yaml:"types,omitempty" doc:"event types"`
}

// ReadsLog implements LogReader.
func (s logSource) ReadsLog() LogSelection {
	return LogSelection{Store: s.Store, Origins: s.Origins, StreamTypes: s.Streams, Types: s.Types, Follow: true}
}

type stdoutSink struct{}

type fileSink struct {
	Path string `yaml:"path" doc:"the file" example:"out.ndjson"`
	Sync string `yaml:"sync,omitempty" default:"batch" enum:"batch,never" doc:"when data is synced"`
}

func (f fileSink) Target() string { return f.Path }

type sqsSink struct {
	Queue string `yaml:"queue" doc:"the queue"`
}

type busSink struct {
	Bus string `yaml:"bus" doc:"the bus"`
}

func (b busSink) Target() string { return "bus " + b.Bus }
func (b busSink) Place() string  { return "bus " + b.Bus }

type webhookSink struct {
	URL     string            `yaml:"url" doc:"where to post" example:"https://example.com/events"`
	Token   Secret            `yaml:"token,omitempty" doc:"bearer token"`
	Single  bool              `yaml:"single,omitempty" doc:"one request for each event"`
	Timeout time.Duration     `yaml:"timeout" default:"10s" min:"1ms" doc:"for one request"`
	Max     Size              `yaml:"max,omitempty" default:"1MiB" doc:"largest body"`
	Ratio   float64           `yaml:"ratio,omitempty" max:"1" doc:"share"`
	Headers map[string]string `yaml:"headers,omitempty" doc:"sent with each request"`
	Nested  *webhookProxy     `yaml:"proxy,omitempty" doc:"through a proxy"`
}

type webhookProxy struct {
	Host string `yaml:"host" doc:"the proxy's host"`
	Port uint16 `yaml:"port,omitempty" default:"3128" doc:"its port"`
}

func (w webhookSink) Validate() error {
	var single error
	if w.Single && w.Max > 1<<20 {
		single = &FieldError{Field: "max", Err: errors.New("single requests have at most 1MiB")}
	}
	return errors.Join(HTTPURL("url", w.URL), single)
}

type enrichHandler struct {
	URL  Text   `yaml:"url" doc:"what to ask" example:"https://example.com/{{ data.id }}"`
	Into string `yaml:"into,omitempty" default:"data.enriched" doc:"where the answer goes"`
}

type sqliteStore struct {
	Dir string `yaml:"dir,omitempty" default:"${LEAT_DATA:-./data}" doc:"where the store lies"`
}

type postgresStore struct {
	DSN Secret `yaml:"dsn" doc:"where the database is"`
}

type sqliteFile struct {
	Path string `yaml:"path" doc:"the file"`
}

func init() {
	for _, r := range []Registration{
		{KindSource, "file", reflect.TypeFor[fileSource](), nil},
		{KindSource, "sqs", reflect.TypeFor[sqsSource](), nil},
		{KindSource, "eventbridge", reflect.TypeFor[busSource](), nil},
		{KindSource, "put_events", reflect.TypeFor[busSource](), nil},
		{KindSource, "event_log", reflect.TypeFor[logSource](), nil},
		{KindSink, "stdout", reflect.TypeFor[stdoutSink](), nil},
		{KindSink, "file", reflect.TypeFor[fileSink](), nil},
		{KindSink, "sqs", reflect.TypeFor[sqsSink](), nil},
		{KindSink, "eventbridge", reflect.TypeFor[busSink](), nil},
		{KindSink, "webhook", reflect.TypeFor[webhookSink](), nil},
		{KindHandler, "http_enrich", reflect.TypeFor[enrichHandler](), nil},
		{KindStore, "sqlite", reflect.TypeFor[sqliteStore](), nil},
		{KindStore, "postgres", reflect.TypeFor[postgresStore](), nil},
		{KindDatabase, "sqlite", reflect.TypeFor[sqliteFile](), nil},
	} {
		RegisterPlugin(r)
	}
}
