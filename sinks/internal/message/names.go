package message

import (
	"crypto/sha256"
	"encoding/hex"
	"unicode/utf8"
)

// Name gives a group or an id as SQS and SNS take them: up to 128 letters, digits and signs of ASCII. Others are named by
// their digest, the same one each time.
func Name(s string) string {
	if len(s) > 128 {
		return Digest(s)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return Digest(s)
		}
	}
	return s
}

// Digest gives the SHA-256 of a text in hex.
func Digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// Legal reports whether the services take all characters of a text.
func Legal(s string) bool { return illegal(s) < 0 }

// illegal gives the place of the first character that is none of XML 1.0's, which the services do not take; -1 where there
// is none.
func illegal(s string) int {
	for i, r := range s {
		switch {
		case r >= 0x20 && r <= 0xD7FF, r == '\t', r == '\n', r == '\r', r >= 0x10000, r >= 0xE000 && r < utf8.RuneError:
		case r == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		default:
			return i
		}
	}
	return -1
}
