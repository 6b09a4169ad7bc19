// Package rawjson works on JSON as bytes: it validates, walks, reads and edits a document without decoding it.
//
// Check, Object and Array validate what they pass over, strictly after RFC 8259: UTF-8 everywhere, no NaN, nothing
// behind the value but white space, at most MaxDepth containers within each other. Get, Set, Delete, Skip and Unquote
// trust what Check has seen; on anything else they never panic, but what they give is unspecified.
//
// An escape of half a surrogate pair (\ud800 alone) is within RFC 8259's grammar and accepted; Unquote reads it as
// U+FFFD, as encoding/json does. Where an object has a key twice, the last one counts, everywhere in leat.
//
// Nothing here allocates, but for keys and strings with escapes and for what Set and Delete give back. All functions
// are safe for concurrent use. The package imports the standard library only.
package rawjson
