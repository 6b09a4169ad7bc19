package postgres_test

import (
	"strings"
	"testing"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/postgres"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
)

func TestCheck(t *testing.T) {
	server := pgtest.Shared(t)
	made, newer := pgtest.Schema(), pgtest.Schema()
	server.Exec(t, "", postgres.Schema(made))
	server.Exec(t, "", postgres.Schema(newer)+"; INSERT INTO "+newer+".leat_schema (version) VALUES (99)")
	role := pgtest.Schema()
	server.Exec(t, "", "CREATE ROLE "+role+" LOGIN PASSWORD 's3cret'; ALTER ROLE "+role+" SET default_transaction_read_only = on")
	dsn := server.DSN()
	reader := strings.Replace(dsn, "postgres://"+userOf(dsn), "postgres://"+role+":s3cret", 1)
	for _, tt := range []struct {
		name   string
		s      postgres.Settings
		want   check.Severity
		phrase string
	}{
		{"no schema yet", postgres.Settings{DSN: config.NewSecret(dsn), Schema: "not_yet", Connections: 8}, check.OK, "the first run makes it"},
		{"made", postgres.Settings{DSN: config.NewSecret(dsn), Schema: made, Connections: 8}, check.OK, "the schema " + made + " is version"},
		{"a newer schema", postgres.Settings{DSN: config.NewSecret(dsn), Schema: newer, Connections: 8}, check.Problem, "newer leat"},
		{"too few connections", postgres.Settings{DSN: config.NewSecret(dsn), Schema: made, Connections: 100000}, check.Problem, "wants 100002"},
		{"nobody listens", postgres.Settings{DSN: config.NewSecret("postgres://leat:s3cret@127.0.0.1:1/x"), Schema: made}, check.Unreachable, "127.0.0.1:1"},
		{"a user who may only read", postgres.Settings{DSN: config.NewSecret(reader), Schema: "not_yet", Connections: 1}, check.Problem, "may not make it"},
		{"a user whose transactions only read", postgres.Settings{DSN: config.NewSecret(reader), Schema: "not_yet", Connections: 1}, check.Problem, "read-only"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found := tt.s.Check(t.Context(), eventstore.Env{})
			all := ""
			for _, f := range found {
				all += string(f.Severity) + ": " + f.What + " → " + f.Mend + "\n"
			}
			if check.Worst(found) != tt.want || !strings.Contains(all, tt.phrase) {
				t.Errorf("want %s with %q:\n%s", tt.want, tt.phrase, all)
			}
			if strings.Contains(all, "s3cret") {
				t.Errorf("the password is in it:\n%s", all)
			}
		})
	}
}

// userOf gives what stands before the @ of a DSN.
func userOf(dsn string) string {
	rest := strings.TrimPrefix(dsn, "postgres://")
	user, _, _ := strings.Cut(rest, "@")
	return user
}
