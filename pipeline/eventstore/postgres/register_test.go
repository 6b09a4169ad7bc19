package postgres_test

import (
	"strings"
	"testing"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/eventstore/postgres"
)

func TestSettingsRefuseADSNThatCannotBeRead(t *testing.T) {
	for dsn, ok := range map[string]bool{
		"postgres://leat:secret@db:5432/shop": true, "host=db user=leat": true, "": true, // "": required, or not looked up
		"CANARY nonsense": false, "postgres://u:CANARY@host:port/x": false,
	} {
		err := postgres.Settings{DSN: config.NewSecret(dsn), Schema: "leat"}.Validate()
		if (err == nil) != ok {
			t.Errorf("%q: %v", dsn, err)
		}
		if err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("the error shows the dsn: %v", err)
		}
	}
}

func TestSettingsPrintTheSchema(t *testing.T) {
	text := postgres.Settings{DSN: config.NewSecret("postgres://leat:CANARY@db/shop"), Schema: `a"b`}.SchemaSQL()
	for _, want := range []string{`CREATE SCHEMA IF NOT EXISTS "a""b"`, "CREATE TABLE leat_events", "COMMIT;"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if strings.Contains(text, "CANARY") {
		t.Error("the statements show the dsn")
	}
}
