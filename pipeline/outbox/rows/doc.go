// Package rows reads an outbox: the rows that applications have put there with package outbox, in the order of their
// ids, without waiting for any transaction that is still open.
//
// The order is the one that matters: where an application writes one transaction after another (because both change
// the same aggregate, say), the second one's row has the higher id and is not visible before the first one's. Rows of
// transactions that run side by side have no order, and none is waited for.
package rows

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Table is the outbox's name where nobody gives another.
const Table = "leat_outbox"

// Channel is what writers to a PostgreSQL outbox notify on.
const Channel = "leat_outbox"

// patience is how long Wait waits where nothing tells of new rows.
const patience = 5 * time.Second

var name = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// Quote gives a table's name, with its schema or without, as an identifier of SQL. "" is Table.
func Quote(table string) (string, error) {
	if table == "" {
		table = Table
	}
	parts := strings.Split(table, ".")
	if len(parts) > 2 {
		return "", fmt.Errorf("outbox: %q is no name of a table: it is written table or schema.table", table)
	}
	for i, p := range parts {
		if !name.MatchString(p) {
			return "", fmt.Errorf("outbox: %q is no name of a table: letters, digits and _", table)
		}
		parts[i] = `"` + p + `"`
	}
	return strings.Join(parts, "."), nil
}
