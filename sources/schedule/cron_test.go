package schedule

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func ticksOf(t testing.TB, text string, z *time.Location) ticks {
	t.Helper()
	c, err := parse(text, z)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c
}

func TestNext(t *testing.T) {
	for _, tt := range []struct{ cron, zone, after, want string }{
		{"* * * * *", "UTC", "2026-01-02T03:04:05Z", "2026-01-02T03:05:00Z"},
		{"* * * * *", "UTC", "2026-01-02T03:04:00Z", "2026-01-02T03:05:00Z"},
		{"* * * * *", "UTC", "2026-12-31T23:59:59.5Z", "2027-01-01T00:00:00Z"},
		{"* * * * * *", "UTC", "2026-01-02T03:04:05.5Z", "2026-01-02T03:04:06Z"},
		{"*/20 * * * * *", "UTC", "2026-01-02T03:04:41Z", "2026-01-02T03:05:00Z"},
		{"30 2 * * *", "UTC", "2026-01-02T02:30:00Z", "2026-01-03T02:30:00Z"},
		{"30 2 * * MON-FRI", "UTC", "2026-01-02T02:30:00Z", "2026-01-05T02:30:00Z"}, // a Friday
		{"0 0 * * fri-SUN", "UTC", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z"},
		{"0 0 * * 7", "UTC", "2026-01-02T00:00:00Z", "2026-01-04T00:00:00Z"},
		{"0 0 * * 0", "UTC", "2026-01-02T00:00:00Z", "2026-01-04T00:00:00Z"},
		{"0 0 13 * FRI", "UTC", "2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"}, // either
		{"0 0 13 * FRI", "UTC", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"},
		{"0 0 */2 * FRI", "UTC", "2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"}, // both, as one begins with *
		{"0 0 29 2 ?", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"},
		{"0 0 31 * *", "UTC", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"},
		{"15,45 9-17/4 * * *", "UTC", "2026-01-02T09:46:00Z", "2026-01-02T13:15:00Z"},
		{"15,45 9-17/4 * * *", "UTC", "2026-01-02T17:45:00Z", "2026-01-03T09:15:00Z"},
		{"10/25 * * * *", "UTC", "2026-01-02T09:36:00Z", "2026-01-02T10:10:00Z"},
		{"59 59 23 31 12 *", "UTC", "2026-12-31T23:59:59Z", "2027-12-31T23:59:59Z"},
		{"@monthly", "UTC", "2026-01-02T00:00:00Z", "2026-02-01T00:00:00Z"},
		{"@YEARLY", "UTC", "2026-01-02T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"@weekly", "UTC", "2026-01-02T00:00:00Z", "2026-01-04T00:00:00Z"},
		{"@hourly", "UTC", "2026-01-02T00:00:00Z", "2026-01-02T01:00:00Z"},
		{"@every 90s", "UTC", "2026-01-02T00:00:00Z", "2026-01-02T00:01:30Z"},
		{"@every 90s", "UTC", "2026-01-02T00:01:29.9Z", "2026-01-02T00:01:30Z"},
		{"@every 24h", "UTC", "1969-12-31T12:00:00Z", "1970-01-01T00:00:00Z"},
		{"0 9 * * *", "America/New_York", "2026-01-02T13:00:00Z", "2026-01-02T14:00:00Z"},
		{"0 0 * * *", "Asia/Kolkata", "2026-01-02T00:00:00Z", "2026-01-02T18:30:00Z"},
		{"30 * * * *", "Asia/Kolkata", "2026-01-02T00:00:01Z", "2026-01-02T01:00:00Z"},

		// London: 29 March 2026, 01:00 becomes 02:00; 25 October, 02:00 becomes 01:00.
		{"30 1 * * *", "Europe/London", "2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z"}, // the end of the gap
		{"30 1 * * *", "Europe/London", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		{"0,30 1,2 * * *", "Europe/London", "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z"}, // 01:00, 01:30 and 02:00 are one
		{"0,30 1,2 * * *", "Europe/London", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"},
		{"*/30 * * * *", "Europe/London", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"},
		{"30 1 * * *", "Europe/London", "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z"}, // the first time
		{"30 1 * * *", "Europe/London", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}, // not the second
		{"15 1 * * *", "Europe/London", "2026-10-25T01:10:00Z", "2026-10-26T01:15:00Z"},
		{"*/30 * * * *", "Europe/London", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"}, // every hour: both
		{"*/30 * * * *", "Europe/London", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"},
		// Beirut skips midnight: 29 March 2026, 00:00 becomes 01:00.
		{"0 0 * * *", "Asia/Beirut", "2026-03-27T22:00:00Z", "2026-03-28T22:00:00Z"},
		{"0 * 29 3 *", "Asia/Beirut", "2026-03-28T12:00:00Z", "2026-03-28T22:00:00Z"},
		// Lord Howe moves by half an hour: 5 April 2026, 02:00 becomes 01:30.
		{"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", "2026-04-04T14:45:00Z"},
		{"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"},
	} {
		at, err := time.Parse(time.RFC3339Nano, tt.after)
		if err != nil {
			t.Fatal(err)
		}
		if got := ticksOf(t, tt.cron, zone(t, tt.zone)).next(at).UTC().Format(time.RFC3339); got != tt.want {
			t.Errorf("%s in %s after %s: %s, want %s", tt.cron, tt.zone, tt.after, got, tt.want)
		}
	}
}

// TestNextAgainstEachMinute holds next against looking at every minute of some years, for schedules without a zone's changes.
func TestNextAgainstEachMinute(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	from := time.Date(2027, 12, 30, 0, 0, 0, 0, time.UTC)
	pick := func(choices ...string) string { return choices[r.IntN(len(choices))] }
	for range 60 {
		text := strings.Join([]string{
			pick("*", "0", "59", "*/7", "5-10", "1,31,58"), pick("*", "0", "23", "*/5", "8-18", "3/6"), pick("*", "1", "31", "*/10", "28-30", "?"),
			pick("*", "2", "JAN", "*/3", "11-12", "feb,mar"), pick("*", "0", "7", "MON-FRI", "*/2", "sat,3"),
		}, " ")
		parsed, err := parse(text, time.UTC)
		if err != nil { // 31 February
			continue
		}
		c, at := parsed.(*cron), from
		for n := from.Add(time.Minute); n.Before(from.AddDate(0, 3, 0)); n = n.Add(time.Minute) {
			if c.minute&(1<<n.Minute()) == 0 || c.hour&(1<<n.Hour()) == 0 || !c.dayFits(n.Month(), n.Day(), n.Weekday()) {
				continue
			}
			if at = c.next(at); !at.Equal(n) {
				t.Fatalf("%s: %s, want %s", text, at, n)
			}
		}
	}
}

// TestNextGoesOn walks over years of zones with changes: each tick is after the one before, and shows the wanted minute
// unless it is the end of a gap.
func TestNextGoesOn(t *testing.T) {
	for _, name := range []string{"Europe/London", "America/Sao_Paulo", "Asia/Beirut", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "America/St_Johns"} {
		z := zone(t, name)
		for _, text := range []string{"30 * * * *", "30 0-3 * * *", "30 2 * * *", "0 0 * * *", "*/15 1 * * SUN"} {
			c := ticksOf(t, text, z).(*cron)
			at := time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)
			for end := at.AddDate(3, 0, 0); at.Before(end); {
				next := c.next(at)
				if !next.After(at) {
					t.Fatalf("%s in %s: %s follows %s", text, name, next, at)
				}
				if start, _ := next.In(z).ZoneBounds(); c.minute&(1<<next.In(z).Minute()) == 0 && !start.Equal(next) {
					t.Fatalf("%s in %s: %s", text, name, next.In(z))
				}
				at = next
			}
		}
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                "0 fields",
		"* * * *":         "4 fields",
		"* * * * * * *":   "7 fields",
		"60 * * * *":      `minute "60": "60" is no number from 0 to 59`,
		"* 24 * * *":      "hour",
		"* * 0 * *":       "from 1 to 31",
		"* * * 13 *":      "month",
		"* * * * 8":       "from 0 to 7",
		"* * * * MOND":    `"MOND"`,
		"* * L * *":       "L, W and # are not known",
		"*/0 * * * *":     "step",
		"*/x * * * *":     "step",
		"5-1 * * * *":     "backwards",
		"1,,2 * * * *":    `""`,
		"-1 * * * *":      `""`,
		"+1 * * * *":      `"+1"`,
		"? * * * *":       `"?"`,
		"0 0 30 2 *":      "no such day",
		"@never":          "is none of",
		"@every":          "is none of",
		"@every 10":       "a duration",
		"@every 10ms":     "a second or more",
		"@every -1h":      "a second or more",
		"0 0 31 2,4,6 ? ": "no such day",
	} {
		if _, err := parse(text, time.UTC); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"* * * * *", "*/5 1-3,7 ? JAN-MAR/2 SUN", "@every 1h", "0 0 0 29 2 *"} {
		f.Add(s)
	}
	london := zone(f, "Europe/London")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse(text, london)
		if err != nil {
			return
		}
		at := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)
		for range 3 {
			next := c.next(at)
			if !next.IsZero() && !next.After(at) {
				t.Fatalf("%q: %s follows %s", text, next, at)
			}
			if at = next; at.IsZero() {
				return
			}
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for _, text := range []string{"* * * * *", "30 2 * * MON-FRI", "0 0 29 2 *"} {
		b.Run(text, func(b *testing.B) {
			c := ticksOf(b, text, zone(b, "Europe/London"))
			at := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)
			for b.Loop() {
				c.next(at)
			}
		})
	}
}
