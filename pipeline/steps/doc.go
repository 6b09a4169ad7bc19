// Package steps compiles the steps of a pipeline and takes events through them.
//
// A Tree (tree.go) is the steps in their places: which of them belong to the intake, and which lie above a target. compile.go
// makes a Program of some of them; an Exec (exec.go) takes one event after another through it and gathers what they give:
// appends for the log in the intake, items for a target in a relay. fan.go has the steps that give several events. Each kind
// of step has a file: fields.go (map, and what append and forward write), append.go, forward.go, lookup.go, validate.go, and
// handle.go with store.go, which is what handlers see of the log, and states.go, the states that they keep of streams.
//
// Nothing here commits, delivers, repeats or parks: an error says in which step an event failed (Error), and the engine decides
// what that means. The package knows the contracts, as the engine does, and not the engine: what it needs of a pipeline is Env.
package steps
