package main

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/keystore/storetest"
)

func TestRedisIsAskedWhatItDid(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	commands := func() int64 {
		text, err := askRedis(t.Context(), redis.Addr(), "commandstats")
		if err != nil {
			t.Fatal(err)
		}
		count, err := parseCommandStats(text)
		if err != nil {
			t.Fatal(err)
		}
		return count
	}
	client := redis.Client()
	before := commands()
	// A script's commands count, and so does the script; what asks does not.
	if err := client.Eval(t.Context(), "redis.call('SET', KEYS[1], 1) return redis.call('GET', KEYS[1])", []string{"name"}).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Get(t.Context(), "name").Err(); err != nil {
		t.Fatal(err)
	}
	// The client's connection may begin with HELLO.
	if made := commands() - before; made < 4 || made > 5 {
		t.Errorf("%d commands, want 4 or 5", made)
	}
	text, err := askRedis(t.Context(), redis.Addr(), "memory")
	if err != nil || infoLine(text, "used_memory") == "" || infoLine(text, "used_mem") != "" {
		t.Errorf("memory: %q: %v", text, err)
	}
}

func TestReadBulkIsBounded(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"", "$", "$-1\r\n", "$x\r\n", "+OK\r\n", "-ERR no\r\n", "5\r\nhello\r\n", "$5\r\nhell"} {
		if text, err := readBulk(bufio.NewReader(strings.NewReader(answer))); err == nil {
			t.Errorf("%q is read as %q", answer, text)
		}
	}
	long := fmt.Sprintf("$%d\r\n%s\r\n", mostInfo+1, strings.Repeat("x", mostInfo+1))
	if _, err := readBulk(bufio.NewReader(strings.NewReader(long))); err == nil {
		t.Errorf("%d bytes are read", mostInfo+1)
	}
	if text, err := readBulk(bufio.NewReader(strings.NewReader("$5\r\nhello\r\n"))); text != "hello" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

func TestParseCommandStats(t *testing.T) {
	t.Parallel()
	const text = "# Commandstats\r\ncmdstat_get:calls=5,usec=1\r\ncmdstat_client|setinfo:calls=2,usec=3\r\ncmdstat_info:calls=100,usec=1\r\n"
	if count, err := parseCommandStats(text); count != 7 || err != nil {
		t.Errorf("%d, %v; want 7", count, err)
	}
	if _, err := parseCommandStats("cmdstat_get:calls=many,usec=1\r\n"); err == nil {
		t.Error("a count that is no number is read")
	}
}

// An ideal Redis: a token costs 50 µs, a change 300 µs and 20 µs more for each node, and a node 40 µs a second.
func TestLimitsOfAShard(t *testing.T) {
	t.Parallel()
	var g growth
	for n := 1; n <= 4; n++ {
		g.nodes = append(g.nodes, nodeCosts{
			nodes: n, newToken: redisCost{2, 50}, edit: redisCost{20, 300 + 20*float64(n)}, rest: redisCost{3, 100 + 40*float64(n)},
		})
	}
	got, want := g.limits(), shardLimits{newTokens: 20_000, editsOne: 3125, editsTen: 2000, nodes: 2500}
	for _, one := range [][2]float64{
		{got.newTokens, want.newTokens}, {got.editsOne, want.editsOne}, {got.editsTen, want.editsTen}, {got.nodes, want.nodes},
	} {
		if math.Abs(one[0]/one[1]-1) > 1e-9 {
			t.Errorf("limits %+v, want %+v", got, want)
		}
	}
}

func TestRoundedNumbers(t *testing.T) {
	t.Parallel()
	for value, want := range map[float64]string{
		12_345: "12,000", 987_654: "990,000", 99.6: "100", 42: "42", 7.3: "7", 0: "any number of", -5: "any number of",
		math.Inf(1): "any number of", math.NaN(): "any number of",
	} {
		if got := rounded(value); got != want {
			t.Errorf("%v is written %q, want %q", value, got, want)
		}
	}
}

// The goal is held against the worst of all, by the ratios of rounds in which both were measured.
func TestGrowthIsHeldAgainstTheWorst(t *testing.T) {
	t.Parallel()
	first := steadyFigures{[]*steadyFigure{{100, 200, 50}, nil, {300, 900, 50}}}
	second := steadyFigures{[]*steadyFigure{{110, 200, 50}, {9000, 9000, 50}, {450, 900, 50}}}
	costs := second.costs("second", first)
	if costs.ratio.count != 2 || math.Abs(costs.ratio.median-1.3) > 1e-9 || costs.p50.count != 3 {
		t.Errorf("ratio %+v of %d rounds, want 1.3 of 2", costs.ratio, costs.ratio.count)
	}
	g := growth{
		memory: tokenMemory{tokens: 1000, heap: 640_000},
		bySize: []sizeCosts{
			{count: 1_000, kinds: []kindCosts{{name: "first", ratio: spreadOf([]float64{5})}}}, // is what the others are compared with
			{count: 100_000, kinds: []kindCosts{{name: "one", ratio: spreadOf([]float64{1.02})}, costs}},
			{count: 1_000_000, kinds: []kindCosts{{name: "two", ratio: spreadOf([]float64{1.01})}}},
		},
	}
	goals := g.goals()
	if len(goals) != 2 || goals[0].found.median != 640 || !goals[0].met() || math.Abs(goals[1].found.median-1.3) > 1e-9 || goals[1].met() {
		t.Errorf("goals %+v", goals)
	}
	for _, goal := range (growth{}).goals() {
		if goal.found.count != 0 {
			t.Errorf("nothing was measured, and a goal has %+v", goal.found)
		}
	}
}

func TestOneKeyOfEachDeployment(t *testing.T) {
	t.Parallel()
	keys := []storedKey{{key{ID: "1"}, "a"}, {key{ID: "2"}, "a"}, {key{ID: "3"}, "b"}, {key{ID: "4"}, "a"}}
	if found := oneOfEach(keys); len(found) != 2 || found[0].ID != "1" || found[1].ID != "3" {
		t.Errorf("%v", found)
	}
}

func TestOnlyAnUnavailableStoreIsExcused(t *testing.T) {
	t.Parallel()
	unavailable, refused := errors.New("status 503, want 200"), errors.New("status 401, want 200")
	for _, one := range []struct {
		wrong   error
		excused bool
	}{
		{nil, false},
		{unavailable, true},
		{errors.Join(unavailable, unavailable), true},
		{refused, false},
		{errors.Join(unavailable, refused), false},
		{errors.New("EOF"), false},
	} {
		if onlyUnavailable(one.wrong) != one.excused {
			t.Errorf("%v: excused %t", one.wrong, !one.excused)
		}
	}
}
