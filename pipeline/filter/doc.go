// Package filter evaluates expressions and text templates over events whose payload stays raw JSON.
//
// The syntax is that of expr-lang/expr, which parses and type-checks; what it checked is compiled to closures here, so
// that an expression reads the few values it names straight from the bytes (all expressions of a Scope in one pass),
// treats what is missing as leat promises, and stops when it has done too much work: expr's own machine has neither a
// limit of time nor one for the length of a text.
//
// # What an expression sees
//
// Event: id source type subject time data metadata. Log adds stream revision position; Row adds row; Item adds item
// and index. An empty id, source, type, subject or stream and a zero time are nil, as is every path that leads nowhere:
// a missing key, an index beyond the end, a step into a number.
//
//   - == and != take nil as a value, equal to itself alone. Ordering, in, contains, startsWith, endsWith and matches
//     are false beside nil. Where a truth value is wanted, nil is false, so !data.deleted works without the field.
//   - A missing list or object counts as empty to len, any, all, none, one, count, sum, filter, map and their like; a
//     function of a single text, number or time gives nil for nil.
//   - Arithmetic on nil, and a value of the wrong type anywhere (a text beside > 5), is a *TypeError.
//   - Numbers compare by value as they are spelt: integers beyond 2^53 stay apart. Integers that overflow go on as floats, / is
//     always a float, and dividing by zero is a *TypeError.
//   - A text beside a time is read as a time (RFC 3339, or 2006-01-02): time > "2026-01-01T00:00:00Z".
//   - Where an object has a key twice, the last one counts.
//
// # What is refused
//
// Compile bounds a source to 8 KiB, 500 nodes and 64 brackets within each other, and refuses what could run away: a
// predicate within a predicate, unless it walks the element in hand (any(data.orders, any(.items, .qty > 3)) visits
// each item once) or a list written in the expression; a pattern of matches that is no constant or too large; repeat,
// groupBy. now and timezone are refused too: the same event must always give the same answer. At run time each
// evaluation has a budget of work, counted in bytes made and elements visited; beyond it, it ends with a *CostError
// after about a tenth of a second.
package filter
