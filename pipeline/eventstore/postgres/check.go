package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/eventstore"
	tables "github.com/leatdev/leat/pipeline/table/postgres"
)

var _ eventstore.Checker = Settings{}

// maxSkew is how far this machine's clock may be from the database's, whose clock leases go by.
const maxSkew = 2 * time.Second

// Check implements eventstore.Checker: the server answers and is new enough, the schema fits or can be made, it may be
// written and keeps what it has committed, there is room for our connections, and the clocks agree.
func (s Settings) Check(ctx context.Context, _ eventstore.Env) []check.Finding {
	conf, err := tables.ParseDSN(s.DSN.Reveal(), s.Schema)
	if err != nil {
		return []check.Finding{check.Problemf("%v", err)}
	}
	target := tables.Target(conf, s.Schema)
	c, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return []check.Finding{check.Unreachablef("%s does not let us in: %v", target, err).With("see that the database runs, and that host, user and password of the dsn are right")}
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	if err := checkServer(ctx, c); err != nil {
		return []check.Finding{check.Problemf("%v", err)}
	}
	p := probe{c: c, s: s}
	found := []check.Finding{p.server(ctx, target), p.schema(ctx), p.writable(ctx), p.durable(ctx), p.connections(ctx), p.clock(ctx)}
	if f, ok := p.encrypted(ctx); ok {
		found = append(found, f)
	}
	return found
}

// probe asks a server one thing after another.
type probe struct {
	c *pgx.Conn
	s Settings
}

func (p probe) server(ctx context.Context, target string) check.Finding {
	var version string
	if err := p.c.QueryRow(ctx, "SELECT current_setting('server_version')").Scan(&version); err != nil {
		return check.Error("ask for the server's version", err)
	}
	return check.Okf("%s answers, PostgreSQL %s", target, version)
}

func (p probe) schema(ctx context.Context) check.Finding {
	version, err := schemaVersion(ctx, p.c, p.s.Schema)
	switch {
	case errors.Is(err, ErrSchema):
		return check.Problemf("%v", err)
	case err != nil:
		return check.Error("look at the schema "+p.s.Schema, err)
	case version == len(migrations):
		return check.Okf("the schema %s is version %d", p.s.Schema, version)
	}
	var may bool
	ask, args := "SELECT has_database_privilege(current_database(), 'CREATE')", []any{}
	if version > 0 {
		ask, args = "SELECT has_schema_privilege($1, 'CREATE')", []any{p.s.Schema}
	}
	if err := p.c.QueryRow(ctx, ask, args...).Scan(&may); err != nil {
		return check.Error("ask what we may do", err)
	}
	switch {
	case !may && version == 0:
		return check.Problemf("there is no schema %s, and this user may not make it", p.s.Schema).With("let the owner of the database run what `leat store init --print` gives")
	case !may:
		return check.Problemf("the schema %s is version %d, this program needs %d, and this user may not change it", p.s.Schema, version, len(migrations)).With("let the schema's owner run this leat once")
	case version == 0:
		return check.Okf("there is no schema %s yet; the first run makes it", p.s.Schema)
	}
	return check.Okf("the schema %s is version %d; the next run brings it to %d", p.s.Schema, version, len(migrations))
}

func (p probe) writable(ctx context.Context) check.Finding {
	var standby, readOnly bool
	if err := p.c.QueryRow(ctx, "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::bool").Scan(&standby, &readOnly); err != nil {
		return check.Error("ask whether the server may be written", err)
	}
	switch {
	case standby:
		return check.Problemf("the server is a standby, which cannot be written").With("name the primary, or add target_session_attrs=read-write to the dsn")
	case readOnly:
		return check.Problemf("transactions of this user are read-only").With("ALTER ROLE … SET default_transaction_read_only = off")
	}
	return check.Okf("it may be written")
}

func (p probe) durable(ctx context.Context) check.Finding {
	var fsync, pages bool
	if err := p.c.QueryRow(ctx, "SELECT current_setting('fsync')::bool, current_setting('full_page_writes')::bool").Scan(&fsync, &pages); err != nil {
		return check.Error("ask for fsync", err)
	}
	switch {
	case !fsync:
		return check.Problemf("the server runs with fsync off: a power cut takes what was acknowledged").With("fsync = on in postgresql.conf")
	case !pages:
		return check.Warnf("the server runs with full_page_writes off: a power cut may damage it").With("full_page_writes = on, unless the disk writes pages whole")
	}
	return check.Okf("what is committed is on the disk")
}

// connections beside those for reading: one appends, one listens.
const ownConnections = 2

func (p probe) connections(ctx context.Context) check.Finding {
	var most, used int
	if err := p.c.QueryRow(ctx, "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int, (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend')").Scan(&most, &used); err != nil {
		return check.Error("ask for the connections", err)
	}
	want := p.s.Connections + ownConnections
	if used-1+want > most {
		return check.Problemf("the server has %d connections, %d are in use, and this store wants %d", most, used-1, want).With("raise max_connections, or lower connections of the store")
	}
	return check.Okf("%d of %d connections are free", most-used+1, most)
}

func (p probe) clock(ctx context.Context) check.Finding {
	var there time.Time
	before := time.Now()
	if err := p.c.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&there); err != nil {
		return check.Error("ask for the time", err)
	}
	after := time.Now()
	trip := after.Sub(before)
	skew := there.Sub(before.Add(trip / 2))
	if skew.Abs() > maxSkew+trip {
		return check.Warnf("this machine's clock is %s from the database's", skew.Abs().Round(time.Millisecond)).With("let both be set by NTP")
	}
	return check.Okf("the clocks agree; a round trip takes %s", trip.Round(100*time.Microsecond))
}

func (p probe) encrypted(ctx context.Context) (check.Finding, bool) {
	var ssl, local bool
	err := p.c.QueryRow(ctx, "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), coalesce(inet_server_addr() << '127.0.0.0/8' OR inet_server_addr() = '::1', true)").Scan(&ssl, &local)
	if err != nil || ssl || local {
		return check.Finding{}, false
	}
	return check.Warnf("the way to the database is not encrypted").With("add sslmode=verify-full to the dsn"), true
}
