package dynamodb

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/event"
)

// item is a row of the table, or a key of one.
type item = map[string]types.AttributeValue

// The attributes of keys, and those of the index of streams.
const (
	pk, sk           = "pk", "sk"
	indexName        = "streams"
	indexPK, indexSK = "d", "e"
)

// perBucket is how many positions one partition of the log holds.
const perBucket = 10_000

func bucket(position int64) int64 { return (position - 1) / perBucket }

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}
func bin(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }

func key(p, s string) item { return item{pk: str(p), sk: str(s)} }

// pad gives a number whose text sorts as it does.
func pad(n int64) string { return fmt.Sprintf("%019d", n) }

// unpad reads what pad has written, in base ten: fmt.Sscan would take the zeros in front for base eight.
func unpad(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

func logPK(b int64) string { return "L#" + strconv.FormatInt(b, 10) }

// streamPK has the type's length in front: both parts may hold any byte.
func streamPK(s event.Stream) string {
	return fmt.Sprintf("S%d#%s#%s", len(s.Type), escape(s.Type), escape(s.ID))
}

// headSK is the sort key of a stream's head, and sorts before those of its chunks.
const headSK = "0"

func markPK(pipeline string) string   { return "I#" + escape(pipeline) }
func cursorPK(pipeline string) string { return "C#" + escape(pipeline) }

// markSK gives an inbox key as a sort key, which holds 1,024 bytes. A longer one keeps its beginning and a checksum.
func markSK(key string) string {
	key = "k" + escape(key) // none is empty
	if len(key) <= 1000 {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	cut := 900
	for cut > 0 && !utf8.RuneStart(key[cut]) {
		cut--
	}
	return key[:cut] + hex.EncodeToString(sum[:])
}

// escape gives s as a string of DynamoDB, which is UTF-8: other bytes, and the byte 0x1a itself, become 0x1a and two
// hexadecimal digits.
func escape(s string) string {
	if strings.IndexByte(s, 0x1a) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == 0x1a || r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, "\x1a%02x", s[i])
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

func unescape(s string) string {
	if strings.IndexByte(s, 0x1a) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == 0x1a && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// text, number and blob read an attribute; zero where it is not there.
func text(i item, name string) string {
	if v, ok := i[name].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

func number(i item, name string) int64 {
	if v, ok := i[name].(*types.AttributeValueMemberN); ok {
		n, _ := strconv.ParseInt(v.Value, 10, 64)
		return n
	}
	return 0
}

func blob(i item, name string) []byte {
	if v, ok := i[name].(*types.AttributeValueMemberB); ok {
		return v.Value
	}
	return nil
}
