package rawjson

// Kind is the kind of a JSON value.
type Kind uint8

// The kinds. KindInvalid is what no JSON value starts like, an empty text among it.
const (
	KindInvalid Kind = iota
	KindNull
	KindBool
	KindNumber
	KindString
	KindArray
	KindObject
)

var kindNames = [...]string{"invalid", "null", "boolean", "number", "string", "array", "object"}

// String gives JSON's word for the kind.
func (k Kind) String() string { return kindNames[k] }

// KindOf tells the kind of the value that b starts with, by its first byte behind white space.
func KindOf(b []byte) Kind {
	if i := space(b, 0); i < len(b) {
		return kinds[b[i]]
	}
	return KindInvalid
}

var kinds = [256]Kind{
	'n': KindNull, 't': KindBool, 'f': KindBool, '"': KindString, '[': KindArray, '{': KindObject, '-': KindNumber,
	'0': KindNumber, '1': KindNumber, '2': KindNumber, '3': KindNumber, '4': KindNumber, '5': KindNumber,
	'6': KindNumber, '7': KindNumber, '8': KindNumber, '9': KindNumber,
}
