package dynamodb

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/eventstore"
)

func init() { eventstore.Register("dynamodb", open) }

// Settings are the store's YAML.
type Settings struct {
	_ struct{} `doc:"a DynamoDB table, for teams that live on AWS alone and for several daemons that share the work"`

	Table  string `yaml:"table" doc:"the table; one holds one event store" example:"leat"`
	Create bool   `yaml:"create,omitempty" default:"true" doc:"make the table where it is missing, if the credentials may"`
	// Capacity is for a table that is made.
	ReadCapacity  int64 `yaml:"read_capacity,omitempty" min:"1" doc:"read units of a table that is made; default: on demand"`
	WriteCapacity int64 `yaml:"write_capacity,omitempty" min:"1" doc:"write units of a table that is made; default: on demand"`
	// Serverless is beside the table and not instead of it: positions, inbox, leases and tables are no items of theirs.
	Serverless   *ServerlessSettings `yaml:"serverless_event_store,omitempty" doc:"share the table of a serverless-event-store with its Lambda: its streams are in leat's log, and what leat appends to them is in that table too"`
	aws.Settings `yaml:",inline"`
}

// ServerlessSettings are the YAML of a shared table.
type ServerlessSettings struct {
	Table string        `yaml:"table" doc:"its table, in the same account and region; leat makes and changes no table of that kind" example:"EsStack-EsTable1A2B3C"`
	Poll  time.Duration `yaml:"poll,omitempty" default:"1s" min:"100ms" doc:"how often the Lambda's appends are looked for"`
}

// Validate implements config.Validator.
func (c ServerlessSettings) Validate() error {
	if c.Table != "" && !tableName.MatchString(c.Table) {
		return &config.FieldError{Field: "table", Err: notTable(c.Table)}
	}
	return nil
}

func notTable(name string) error {
	return fmt.Errorf("%q is no name of a table: 3 to 255 letters, digits and _ . -", name)
}

var tableName = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)

// Validate implements config.Validator.
func (c Settings) Validate() error {
	if c.Table != "" && !tableName.MatchString(c.Table) {
		return &config.FieldError{Field: "table", Err: notTable(c.Table)}
	}
	if c.Serverless != nil && c.Serverless.Table != "" && c.Serverless.Table == c.Table {
		return &config.FieldError{Field: "table", Err: fmt.Errorf("%q is serverless-event-store's table: leat's own is another one", c.Table)}
	}
	if err := c.Settings.Check(); err != nil {
		return &config.FieldError{Field: "endpoint", Err: err}
	}
	return nil
}

// Target names the table.
func (c Settings) Target() string { return c.Table }

func (c Settings) shared() *SharedTable {
	if c.Serverless == nil {
		return nil
	}
	return &SharedTable{Table: c.Serverless.Table, Poll: c.Serverless.Poll}
}

func open(ctx context.Context, c Settings, env eventstore.Env) (eventstore.Store, error) {
	// As many calls at a time as readers and the committer make.
	cfg, err := aws.Load(ctx, c.Settings, nil, 16)
	if err != nil {
		return nil, fmt.Errorf("dynamodb: %w", err)
	}
	s, err := Open(ctx, Config{
		Client: aws.NewDynamoDB(cfg), Table: c.Table, Create: c.Create, ReadCapacity: c.ReadCapacity, WriteCapacity: c.WriteCapacity,
		ReadOnly: env.ReadOnly, Now: env.Now, Logger: env.Log, Metrics: env.Metrics, Close: func() { aws.Close(cfg) }, Shared: c.shared(),
	})
	if err != nil {
		aws.Close(cfg)
		return nil, err
	}
	return s, nil
}
