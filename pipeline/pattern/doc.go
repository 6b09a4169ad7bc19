// Package pattern compiles EventBridge event patterns and matches them against events in raw JSON.
//
// It holds the whole language: exact values, prefix, suffix, equals-ignore-case, anything-but in all its forms, numeric, cidr,
// exists, wildcard and $or, with the service's own rules for arrays, numbers, case and duplicate keys, and its own error texts.
// A [Pattern] is one pattern; a [Set] holds many and finds all that match in one pass over the event's bytes. Nothing is decoded
// into maps, and a match allocates nothing once its scratch memory has been warmed.
//
// The package stands alone: it imports the standard library only, and nothing of leat.
//
// Start in compile.go for the language (atom.go for what each operator means), match.go for one pattern, set.go and index.go
// for many, consistency.go for fields inside arrays of objects, explain.go, check.go and overlap.go for what is told to people.
//
// The semantics are those of the service as recorded in its own test vectors; where the service's matching library and its
// documentation differ, the library was followed. The places where this package deliberately differs from the library are few:
// a malformed $or is refused instead of being read as a field of that name, characters beyond the Basic Multilingual Plane
// compare as themselves in the ignore-case operators, and a CIDR block of length zero stays within its address family.
package pattern
