package check

import "fmt"

// bytes writes a number of bytes for people: 1.4 GiB.
func bytes(n uint64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	div, unit := uint64(step), 0
	for n/div >= step && unit < 4 {
		div *= step
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", float64(n)/float64(div), "KMGTP"[unit])
}
