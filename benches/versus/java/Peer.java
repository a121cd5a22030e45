// The peer java: virtual threads and java.util.concurrent; same command line, same line of output. It has only the
// workloads in which tasks coordinate.
//
// The virtual machine compiles what has run often enough, so each workload runs once before it is measured.

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.IntConsumer;

public final class Peer {
    static final int SIDES = 4;
    static final int LOCKERS = 8;
    static final int CANCELLED = 100;
    static final int TURNS = 201;

    static final Map<String, Integer> SIZES = Map.of(
            "rendezvous", 1_000_000, "mutex_8", 8_000_000, "mutex", 10_000_000, "rwlock_read", 10_000_000,
            "semaphore", 10_000_000, "cancel", 20_000);

    public static void main(String[] words) throws Exception {
        String workload = words.length > 0 ? words[0] : "";
        Map<String, Integer> options = new HashMap<>(Map.of("--workers", 2, "--n", SIZES.getOrDefault(workload, 0)));
        for (int i = 1; i + 1 < words.length; i += 2) {
            options.put(words[i], Integer.parseInt(words[i + 1]));
        }
        int workers = options.get("--workers");
        int n = options.get("--n");
        // Read when the first virtual thread starts.
        System.setProperty("jdk.virtualThreadScheduler.parallelism", Integer.toString(workers));
        System.setProperty("jdk.virtualThreadScheduler.maxPoolSize", Integer.toString(workers));
        String result = run(workload, n);
        System.out.println("{\"peer\":\"java\",\"workload\":\"" + workload + "\",\"workers\":" + workers + ",\"n\":" + n
                + ",\"cpu_seconds\":" + cpuSeconds() + ",\"peak_bytes\":" + peakBytes() + "," + result + "}");
    }

    static String run(String workload, int n) throws Exception {
        return switch (workload) {
            case "rendezvous" -> {
                double fair = perOp(n, () -> rendezvous(n, new SynchronousQueue<>(true)));
                double unfair = perOp(n, () -> rendezvous(n, new SynchronousQueue<>()));
                yield value(Math.min(fair, unfair), "ns") + ",\"fair_ns\":" + fair + ",\"unfair_ns\":" + unfair;
            }
            case "mutex_8" -> value(perOp(n, () -> mutex8(n)), "ns");
            case "mutex" -> value(alone(n, Peer::mutex), "ns");
            case "rwlock_read" -> value(alone(n, Peer::rwlockRead), "ns");
            case "semaphore" -> value(alone(n, Peer::semaphore), "ns");
            case "cancel" -> {
                cancel(n);
                yield value(cancel(n), "µs");
            }
            case "select" -> "\"skip\":\"java.util.concurrent has no select\"";
            default -> "\"skip\":\"not written for Java\"";
        };
    }

    interface Work {
        void run() throws Exception;
    }

    /** Nanoseconds an operation, of the second run. */
    static double perOp(int ops, Work work) throws Exception {
        work.run();
        long start = System.nanoTime();
        work.run();
        return (double) (System.nanoTime() - start) / ops;
    }

    /** Nanoseconds an operation, of the median slice of n operations: the core may be taken away in some of them. */
    static double alone(int n, IntConsumer side) throws InterruptedException {
        double[] turns = new double[TURNS];
        int ops = n / TURNS;
        virtual(() -> {
            side.accept(n / 10);
            for (int turn = 0; turn < TURNS; turn++) {
                long start = System.nanoTime();
                side.accept(ops);
                turns[turn] = (double) (System.nanoTime() - start) / ops;
            }
        });
        Arrays.sort(turns);
        return turns[TURNS / 2];
    }

    static String value(double value, String unit) {
        return "\"value\":" + value + ",\"unit\":\"" + unit + "\"";
    }

    static void must(boolean holds) {
        if (!holds) {
            throw new IllegalStateException("wrong result");
        }
    }

    static void virtual(Runnable work) throws InterruptedException {
        joinAll(List.of(Thread.startVirtualThread(work)));
    }

    static void joinAll(List<Thread> threads) throws InterruptedException {
        for (Thread thread : threads) {
            thread.join();
        }
    }

    static void rendezvous(int n, BlockingQueue<Integer> queue) throws InterruptedException {
        int each = n / SIDES;
        AtomicLong received = new AtomicLong();
        List<Thread> threads = new ArrayList<>();
        for (int side = 0; side < SIDES; side++) {
            threads.add(Thread.startVirtualThread(() -> {
                try {
                    for (int i = 0; i < each; i++) {
                        queue.put(i);
                    }
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
            }));
            threads.add(Thread.startVirtualThread(() -> {
                long sum = 0;
                try {
                    for (int i = 0; i < each; i++) {
                        sum += queue.take();
                    }
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
                received.addAndGet(sum);
            }));
        }
        joinAll(threads);
        must(received.get() == (long) SIDES * ((long) each * (each - 1) / 2));
    }

    static final class Counter {
        long value;
    }

    static void mutex8(int n) throws InterruptedException {
        ReentrantLock lock = new ReentrantLock();
        Counter counter = new Counter();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < LOCKERS; i++) {
            threads.add(Thread.startVirtualThread(() -> add(lock, counter, n / LOCKERS)));
        }
        joinAll(threads);
        must(counter.value == n / LOCKERS * LOCKERS);
    }

    static void add(ReentrantLock lock, Counter counter, int times) {
        for (int i = 0; i < times; i++) {
            lock.lock();
            try {
                counter.value++;
            } finally {
                lock.unlock();
            }
        }
    }

    static void mutex(int n) {
        Counter counter = new Counter();
        add(new ReentrantLock(), counter, n);
        must(counter.value == n);
    }

    static void rwlockRead(int n) {
        ReentrantReadWriteLock.ReadLock lock = new ReentrantReadWriteLock().readLock();
        long sum = 0;
        Counter one = new Counter();
        one.value = 1;
        for (int i = 0; i < n; i++) {
            lock.lock();
            try {
                sum += one.value;
            } finally {
                lock.unlock();
            }
        }
        must(sum == n);
    }

    static void semaphore(int n) {
        Semaphore semaphore = new Semaphore(1);
        for (int i = 0; i < n; i++) {
            semaphore.acquireUninterruptibly();
            semaphore.release();
        }
        must(semaphore.availablePermits() == 1);
    }

    /** The median batch's microseconds a thread, from its interruption until it has ended. */
    static double cancel(int n) throws InterruptedException {
        AtomicInteger arrived = new AtomicInteger();
        AtomicInteger ended = new AtomicInteger();
        double[] batches = new double[n / CANCELLED];
        virtual(() -> {
            try {
                for (int batch = 0; batch < batches.length; batch++) {
                    batches[batch] = cancelBatch(arrived, ended);
                }
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        });
        must(ended.get() == n / CANCELLED * CANCELLED);
        Arrays.sort(batches);
        return batches[batches.length / 2];
    }

    static double cancelBatch(AtomicInteger arrived, AtomicInteger ended) throws InterruptedException {
        int before = arrived.get();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < CANCELLED; i++) {
            threads.add(Thread.startVirtualThread(() -> {
                arrived.incrementAndGet();
                while (!Thread.interrupted()) {
                    LockSupport.park();
                }
                ended.incrementAndGet();
            }));
        }
        while (arrived.get() < before + CANCELLED) {
            Thread.yield();
        }
        Thread.sleep(1);
        long start = System.nanoTime();
        for (Thread thread : threads) {
            thread.interrupt();
            thread.join();
        }
        return (double) (System.nanoTime() - start) / CANCELLED / 1e3;
    }

    static double cpuSeconds() {
        // Of the whole process, its compiler's threads included.
        return ProcessHandle.current().info().totalCpuDuration().orElseThrow().toNanos() / 1e9;
    }

    static long peakBytes() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) {
                return Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024;
            }
        }
        throw new IllegalStateException("no VmHWM in /proc/self/status");
    }
}
