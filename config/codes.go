package config

// Code names a kind of mistake. Codes are stable: scripts and editors may rely on them.
type Code string

// The codes.
const (
	CodeFile           Code = "file"
	CodeTooLarge       Code = "too_large"
	CodeSyntax         Code = "syntax"
	CodeYAMLTrap       Code = "yaml_trap"
	CodeDuplicateKey   Code = "duplicate_key"
	CodeDuplicateName  Code = "duplicate_name"
	CodeUnknownField   Code = "unknown_field"
	CodeMissingField   Code = "missing_field"
	CodeWrongType      Code = "wrong_type"
	CodeBadValue       Code = "bad_value"
	CodeUnknownPlugin  Code = "unknown_plugin"
	CodeNoPlugin       Code = "no_plugin"
	CodeTwoPlugins     Code = "two_plugins"
	CodeUnknownStep    Code = "unknown_step"
	CodeUnknownName    Code = "unknown_name"
	CodeRecursion      Code = "recursion"
	CodeInterpolation  Code = "interpolation"
	CodeExpression     Code = "expression"
	CodeExpressionCost Code = "expression_cost"
	CodeTemplate       Code = "template"
	CodePattern        Code = "pattern"
	CodeOrder          Code = "order"
	CodeConflict       Code = "conflict"
	CodeNeedsLog       Code = "needs_log"
	CodeTableShared    Code = "table_shared"
	CodeSchema         Code = "schema"

	CodeLooksLikeExpression Code = "looks_like_expression"
	CodePatternWarning      Code = "pattern_warning"
	CodeUnused              Code = "unused"
	CodeLoop                Code = "loop"
)

// Codes explains each code in a line, for the reference page and `leat describe`.
var Codes = []struct {
	Code Code
	Doc  string
}{
	{CodeFile, "a file cannot be read, or is not text"},
	{CodeTooLarge, "a file is larger, deeper or has more parts than any config should"},
	{CodeSyntax, "the file is no YAML"},
	{CodeYAMLTrap, "YAML reads a sign of an expression as its own; the hint shows the line to write"},
	{CodeDuplicateKey, "a key stands twice in one map"},
	{CodeDuplicateName, "two things of one kind have the same name, in one file or in two"},
	{CodeUnknownField, "a component has no field of that name"},
	{CodeMissingField, "a field that must be given is not there"},
	{CodeWrongType, "a value is of another type than its field"},
	{CodeBadValue, "a value has the right type but is none that its field allows"},
	{CodeUnknownPlugin, "this build has no source, sink or store of that name"},
	{CodeNoPlugin, "a component names no plugin"},
	{CodeTwoPlugins, "a component names more than one plugin"},
	{CodeUnknownStep, "this build has no step of that name"},
	{CodeUnknownName, "a table, column, store, fragment or pipeline of that name is not defined"},
	{CodeRecursion, "a fragment or an alias contains itself"},
	{CodeInterpolation, "a ${…} is malformed, or its variable or file is not there"},
	{CodeExpression, "an expression does not compile"},
	{CodeExpressionCost, "an expression could cost more than any event may"},
	{CodeTemplate, "a text with {{ … }} is malformed"},
	{CodePattern, "an event pattern is not valid"},
	{CodeOrder, "a step stands where it cannot work"},
	{CodeConflict, "two settings exclude each other"},
	{CodeNeedsLog, "a projection has no log to read"},
	{CodeSchema, "a JSON Schema that a step names cannot be used"},
	{CodeTableShared, "a table would be written by two relays"},
	{CodeLooksLikeExpression, "warning: a text looks like a path of the event, but is no template"},
	{CodePatternWarning, "warning: an event pattern is valid, but hardly meant so"},
	{CodeUnused, "warning: something is defined and not used"},
	{CodeLoop, "a pipeline reads again what it writes; a warning where that depends on the events"},
}
