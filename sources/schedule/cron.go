package schedule

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// ticks gives the times of a schedule.
type ticks interface {
	// next gives the first time after t, the zero one where there is none within ten years.
	next(t time.Time) time.Time
}

// every is a tick each so often, counted from 1970 in UTC, so that restarts and replicas agree on the times.
type every time.Duration

func (e every) next(t time.Time) time.Time {
	d := int64(e)
	n := t.UnixNano() / d
	if t.UnixNano() < 0 && t.UnixNano()%d != 0 {
		n--
	}
	return time.Unix(0, (n+1)*d)
}

// cron holds a bit for each value that a field takes.
type cron struct {
	second, minute, hour, day, month, weekday uint64
	// either: of day and weekday both are restricted, and it is enough that one fits (cron since 1979 has it so).
	either bool
	zone   *time.Location
}

var macros = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

var (
	monthNames   = []string{"", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	weekdayNames = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
)

// parse reads a cron expression: minute, hour, day of the month, month and weekday, with seconds before them where
// there are six fields; * , - / and names; a macro like @daily, or @every 90s.
func parse(text string, zone *time.Location) (ticks, error) {
	text = strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(text, "@every "); ok {
		d, err := time.ParseDuration(strings.TrimSpace(rest))
		if err != nil || d < time.Second || d > 10*365*24*time.Hour {
			return nil, errors.New("@every wants a duration of a second or more, for example @every 90s")
		}
		return every(d), nil
	}
	if strings.HasPrefix(text, "@") {
		fields, ok := macros[strings.ToLower(text)]
		if !ok {
			return nil, fmt.Errorf("%s is none of @yearly, @monthly, @weekly, @daily, @hourly and @every DURATION", text)
		}
		text = fields
	}
	fields := strings.Fields(text)
	if len(fields) == 5 {
		fields = append([]string{"0"}, fields...)
	}
	if len(fields) != 6 {
		return nil, fmt.Errorf("has %d fields; it takes 5 (minute, hour, day, month, weekday), or 6 with seconds before them", len(fields))
	}
	c := &cron{zone: zone}
	for i, f := range []struct {
		name     string
		into     *uint64
		min, max int
		names    []string
	}{
		{"second", &c.second, 0, 59, nil}, {"minute", &c.minute, 0, 59, nil}, {"hour", &c.hour, 0, 23, nil},
		{"day", &c.day, 1, 31, nil}, {"month", &c.month, 1, 12, monthNames}, {"weekday", &c.weekday, 0, 7, weekdayNames},
	} {
		field := fields[i]
		if field == "?" && (f.name == "day" || f.name == "weekday") {
			field = "*"
		}
		var err error
		if *f.into, err = parseField(field, f.min, f.max, f.names); err != nil {
			return nil, fmt.Errorf("%s %q: %w", f.name, fields[i], err)
		}
	}
	if c.weekday&(1<<7) != 0 { // Sunday too
		c.weekday = c.weekday&^(1<<7) | 1
	}
	free := func(f string) bool { return f[0] == '*' || f == "?" }
	c.either = !free(fields[3]) && !free(fields[5])
	if c.next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, errors.New("there is no such day")
	}
	return c, nil
}

func parseField(text string, low, high int, names []string) (set uint64, err error) {
	for part := range strings.SplitSeq(text, ",") {
		span, step, stepped := strings.Cut(part, "/")
		by := 1
		if stepped {
			if by, err = strconv.Atoi(step); err != nil || by < 1 || by > high {
				return 0, fmt.Errorf("the step %q is no number from 1 to %d", step, high)
			}
		}
		from, to := low, high
		if high == 7 && span == "*" {
			to = 6
		}
		if span != "*" {
			first, last, ranged := strings.Cut(span, "-")
			if from, err = parseValue(first, low, high, names); err != nil {
				return 0, err
			}
			switch {
			case ranged:
				if to, err = parseValue(last, low, high, names); err != nil {
					return 0, err
				}
				if high == 7 && to == 0 && from > 0 {
					to = 7 // FRI-SUN
				}
			case !stepped:
				to = from
			}
		}
		if from > to {
			return 0, fmt.Errorf("%s goes backwards", span)
		}
		for v := from; v <= to; v += by {
			set |= 1 << v
		}
	}
	return set, nil
}

func parseValue(text string, low, high int, names []string) (int, error) {
	for i, n := range names {
		if n != "" && strings.EqualFold(n, text) {
			return i, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high || text[0] == '+' {
		hint := ""
		if strings.ContainsAny(text, "LW#") {
			hint = "; L, W and # are not known here"
		}
		return 0, fmt.Errorf("%q is no number from %d to %d%s", text, low, high, hint)
	}
	return n, nil
}

// dayFits reports whether a day is one of the schedule's.
func (c *cron) dayFits(month time.Month, day int, weekday time.Weekday) bool {
	if c.month&(1<<month) == 0 {
		return false
	}
	d, w := c.day&(1<<day) != 0, c.weekday&(1<<weekday) != 0
	if c.either {
		return d || w
	}
	return d && w
}

const everyHour = 1<<24 - 1

// farthest is how many days are searched: the longest way from one 29 February to the next is eight years.
const farthest = 10 * 366

func (c *cron) next(t time.Time) time.Time {
	if c.hour == everyHour {
		return c.nextElapsed(t)
	}
	return c.nextOnClock(t)
}

// nextElapsed is for schedules of every hour. They go by the time that passes: when clocks are put back, the hour that
// comes twice has its ticks twice, and when they are put forward, what is skipped is skipped.
func (c *cron) nextElapsed(t time.Time) time.Time {
	t = t.Truncate(time.Second).Add(time.Second).In(c.zone)
	for days := 0; days < farthest; {
		y, m, d := t.Date()
		if !c.dayFits(m, d, t.Weekday()) {
			t = startOfNextDay(t, y, m, d)
			days++
			continue
		}
		_, minute, second := t.Clock()
		if c.minute&(1<<minute) != 0 {
			if s := after(c.second, second); s >= 0 {
				return t.Add(time.Duration(s-second) * time.Second)
			}
		}
		t = t.Add(time.Duration(60-second) * time.Second) // the next minute
		if _, minute, _ = t.Clock(); minute != 0 {
			wait := 60 - minute
			if n := after(c.minute, minute); n >= 0 {
				wait = n - minute
			}
			t = t.Add(time.Duration(wait) * time.Minute)
		}
	}
	return time.Time{}
}

// after gives the first value of a set that is v or more, -1 where there is none.
func after(set uint64, v int) int {
	if rest := set >> v << v; rest != 0 {
		return bits.TrailingZeros64(rest)
	}
	return -1
}

func startOfNextDay(t time.Time, y int, m time.Month, d int) time.Time {
	next := firstAt(y, m, d+1, 0, 0, 0, t.Location())
	if next.After(t) {
		return next
	}
	return t.Add(time.Hour)
}

// nextOnClock is for schedules of certain hours. They go by the clock on the wall: a time that comes twice when clocks
// are put back counts the first time, and one that is skipped when they are put forward comes at the end of the gap.
func (c *cron) nextOnClock(t time.Time) time.Time {
	local := t.In(c.zone)
	y, m, d := local.Date()
	hour, minute, second := local.Clock()
	for range farthest {
		day := time.Date(y, m, d, 12, 0, 0, 0, time.UTC) // normal form and weekday, free of any zone's changes
		y, m, d = day.Date()
		if c.dayFits(m, d, day.Weekday()) {
			for h := after(c.hour, hour); h >= 0; h = after(c.hour, h+1) {
				if h > hour {
					minute, second = 0, 0
				}
				for n := after(c.minute, minute); n >= 0; n = after(c.minute, n+1) {
					if n > minute {
						second = 0
					}
					for s := after(c.second, second); s >= 0; s = after(c.second, s+1) {
						if at := firstAt(y, m, d, h, n, s, c.zone); at.After(t) {
							return at
						}
					}
				}
				minute, second = 0, 0
			}
		}
		d++
		hour, minute, second = 0, 0, 0
	}
	return time.Time{}
}

// firstAt gives the first moment at which clocks in a zone show a time; where they never do, the end of the gap.
// time.Date leaves open which it gives.
func firstAt(y int, m time.Month, d, h, n, s int, zone *time.Location) time.Time {
	wall := time.Date(y, m, d, h, n, s, 0, time.UTC)
	_, before := wall.Add(-24 * time.Hour).In(zone).Zone()
	_, behind := wall.Add(24 * time.Hour).In(zone).Zone()
	first := wall.Add(-time.Duration(max(before, behind)) * time.Second).In(zone)
	second := wall.Add(-time.Duration(min(before, behind)) * time.Second).In(zone)
	for _, at := range []time.Time{first, second} {
		if _, offset := at.Zone(); at.Unix()+int64(offset) == wall.Unix() {
			return at
		}
	}
	end, _ := second.ZoneBounds()
	return end
}
