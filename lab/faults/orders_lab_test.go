//go:build lab

package faults

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"brainjar/internal/config"
	"brainjar/internal/ledger"
	"brainjar/sensors"
	"brainjar/supervisor"
	"brainjar/transient"
)

// What lab/power.test runs in a machine whose power is cut: somebody who gives
// orders without end, and, after the next boot, somebody who looks whether each
// that was acknowledged is in the ledger.

const orderSettings = `
[defaults]
memory_max = "64M"
command = ["/bin/sleep", "1h"]
autostart = false
[experiments.never]
`

const ordered = 10 // experiments; each waits for one that never runs

// giveOrders prints "try ID PHASE" before each order and "ack ID PHASE" when it
// was acknowledged, until it is killed.
func giveOrders(state string) error {
	ctx := context.Background()
	text := orderSettings
	for i := range ordered {
		text += fmt.Sprintf("[experiments.e%d]\nafter = [\"never\"]\n", i)
	}
	path := filepath.Join(os.TempDir(), "orders.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	manager := transient.New(transient.Options{RecordDir: recordDir})
	book := ledger.Open(ctx, filepath.Join(state, "brainjar.db"), ledger.Options{})
	past, err := book.Restore(ctx)
	if err != nil {
		return err
	}
	s := supervisor.New(supervisor.Supervisor{
		Config: cfg, Units: manager, House: manager, Groups: manager, Freezer: manager, Events: manager.Events(),
		MemTotal: 1 << 30, Ledger: book, Past: past, Boot: sensors.BootID(),
	})
	var background sync.WaitGroup
	background.Go(func() { book.Run(ctx) })
	background.Go(func() { _ = manager.Run(ctx) })
	background.Go(func() { _ = s.Run(ctx) })
	for {
		id := fmt.Sprintf("e%d", rand.IntN(ordered))
		phase := []supervisor.Phase{supervisor.Queued, supervisor.Held, supervisor.Stopped}[rand.IntN(3)]
		fmt.Println("try", id, phase)
		var err error
		switch phase {
		case supervisor.Queued:
			err = s.Start(ctx, id)
		case supervisor.Held:
			err = s.Hold(ctx, id, "orders")
		default:
			if err = s.Start(ctx, id); err == nil { // there is nothing to stop where nothing is wanted
				err = s.Stop(ctx, id)
			}
		}
		switch {
		case err == nil:
			fmt.Println("ack", id, phase)
		case strings.Contains(err.Error(), supervisor.ErrNotReady.Error()):
			time.Sleep(10 * time.Millisecond)
		default:
			return err
		}
	}
}

// verifyOrders reads what giveOrders printed in all its lives, and says what of it
// the ledger does not have.
func verifyOrders(state, printed string) error {
	f, err := os.Open(printed)
	if err != nil {
		return err
	}
	defer f.Close()
	acknowledged, tried := map[string]string{}, map[string]map[string]bool{}
	orders := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 {
			continue // cut off
		}
		id, phase := fields[1], fields[2]
		switch fields[0] {
		case "try":
			if tried[id] == nil {
				tried[id] = map[string]bool{}
			}
			tried[id][phase] = true
		case "ack":
			orders++
			acknowledged[id], tried[id] = phase, nil
		}
	}
	path := filepath.Join(state, "brainjar.db")
	reader, err := ledger.OpenReader(path)
	if errors.Is(err, fs.ErrNotExist) && len(acknowledged) == 0 {
		fmt.Println("the power was cut before the first order")
		return nil
	}
	if err != nil {
		return err
	}
	err = reader.Check(context.Background())
	reader.Close()
	if err != nil {
		return err
	}
	past, err := ledger.Open(context.Background(), path, ledger.Options{}).Restore(context.Background())
	if err != nil {
		return err
	}
	phases := map[string]string{}
	for _, w := range past.Wanted {
		phases[w.Experiment] = w.Phase
	}
	lost := 0
	for id, phase := range acknowledged {
		// What was tried and not acknowledged may have happened or not; a stop is two
		// orders, of which one may have happened.
		if got := phases[id]; got != phase && !tried[id][got] && (got != "queued" || !tried[id]["stopped"]) {
			lost++
			fmt.Printf("LOST: %s was %s, is %s\n", id, phase, got)
		}
	}
	fmt.Printf("orders acknowledged: %d, experiments checked: %d, lost: %d, the file is sound\n", orders, len(acknowledged), lost)
	if lost > 0 {
		return fmt.Errorf("%d orders lost", lost)
	}
	return nil
}
