package rows

import (
	"fmt"
	"strings"
)

// InsertPostgres gives the statement that writes rows, in their order; table is quoted. It takes plain arguments, one for
// each value, as drivers do not agree on arrays. Whoever waits for rows is told when the transaction commits;
// PostgreSQL tells the same thing once.
func InsertPostgres(table string, ids []string, bodies [][]byte) (string, []any) {
	var b strings.Builder
	fmt.Fprintf(&b, "WITH told AS MATERIALIZED (SELECT pg_notify('%s', '')) INSERT INTO %s (event_id, body) SELECT v.event_id, v.body FROM told, (VALUES ", Channel, table)
	for i := range ids {
		fmt.Fprintf(&b, "%s(%d, $%d::text, $%d::bytea)", comma(i), i, 2*i+1, 2*i+2)
	}
	b.WriteString(") v (n, event_id, body) ORDER BY v.n")
	return b.String(), flat(ids, bodies)
}

// InsertSQLite gives the statement that writes rows, in their order; table is quoted.
func InsertSQLite(table string, ids []string, bodies [][]byte) (string, []any) {
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (event_id, body) VALUES ", table)
	for i := range ids {
		b.WriteString(comma(i) + "(?, ?)")
	}
	return b.String(), flat(ids, bodies)
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ", "
}

func flat(ids []string, bodies [][]byte) []any {
	args := make([]any, 0, 2*len(ids))
	for i := range ids {
		args = append(args, ids[i], bodies[i])
	}
	return args
}
