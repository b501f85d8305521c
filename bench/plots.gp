# For bench/plot: draws plot_name into output, as kind, from files in work.

subjects = "cachify cachify_event_loop cachify_empty robust_mutex plain_mutex sem_t flock flock_name ofd_byte sysv_undo boost_named_mutex redis memcached"
label(s) = s eq "cachify_empty" ? "cachify, the same table empty" : \
    s eq "cachify_event_loop" ? "cachify, in an event loop" : \
    s eq "robust_mutex" ? "robust mutex" : s eq "plain_mutex" ? "plain mutex" : \
    s eq "flock" ? "flock, file kept open" : s eq "flock_name" ? "flock, by name" : \
    s eq "ofd_byte" ? "fcntl OFD byte" : s eq "sysv_undo" ? "SysV semaphore, undo" : \
    s eq "boost_named_mutex" ? "Boost named\\_mutex" : s eq "sem_t" ? "sem\\_t" : s

# Ours stands out; the others can be told apart by colour and by mark.
set linetype 1 lc rgb "#d62728" lw 3.5 pt 7 ps 0.9
set linetype 2 lc rgb "#ff9896" lw 3.0 pt 6 ps 0.9
set linetype 3 lc rgb "#ff9896" lw 2.5 pt 6 ps 0.9 dt 2
set linetype 4 lc rgb "#1f4e9c" lw 2 pt 5 ps 0.8
set linetype 5 lc rgb "#4fa3e0" lw 2 pt 4 ps 0.8
set linetype 6 lc rgb "#17a589" lw 2 pt 9 ps 0.9
set linetype 7 lc rgb "#222222" lw 2 pt 13 ps 0.9
set linetype 8 lc rgb "#8a8a8a" lw 2 pt 12 ps 0.9
set linetype 9 lc rgb "#9b59b6" lw 2 pt 11 ps 0.9
set linetype 10 lc rgb "#e08e0b" lw 2 pt 10 ps 0.9
set linetype 11 lc rgb "#7d5a3c" lw 2 pt 8 ps 0.9
set linetype 12 lc rgb "#2e7d32" lw 2 pt 3 ps 0.8
set linetype 13 lc rgb "#9acd32" lw 2 pt 2 ps 0.8

file(set, s) = work . "/" . set . "." . s
there(set, s) = int(system("test -e '" . file(set, s) . "' && echo 1 || echo 0"))
with_data(set) = system("cd '" . work . "' && for s in " . subjects . "; do test -e " . set . ".$s && echo $s; done | tr '\\n' ' '")
number(s) = int(system("echo " . subjects . " | tr ' ' '\\n' | grep -nx " . s . " | cut -d: -f1"))

wide = plot_name eq "held" ? 900 : 1280
high = plot_name eq "held" ? 560 : 600
if (kind eq "svg") {
    set terminal svg size wide,high font "DejaVu Sans,13" background rgb "white"
} else {
    set terminal pngcairo size wide,high font "DejaVu Sans,11" background rgb "white"
}
set output output
set border 3 lc rgb "#555555"
set tics nomirror out
set grid xtics ytics lc rgb "#dddddd" lw 1, lc rgb "#eeeeee" lw 0.5
set key samplen 2.5 spacing 1.2 Left reverse

if (plot_name eq "held") {
    set title "A pair on a free key, while many are held"
    set xlabel "held locks"
    set ylabel "acquire and release"
    set logscale xy
    set xrange [700:6000000]
    set xtics ("1 k" 1e3, "10 k" 1e4, "100 k" 1e5, "1 M" 1e6, "4 M" 4e6)
    set ytics ("10 ns" 1e1, "100 ns" 1e2, "1 µs" 1e3, "10 µs" 1e4, "100 µs" 1e5, "1 ms" 1e6, "10 ms" 1e7)
    set yrange [50:*]
    set key outside right center
    plot for [s in with_data("held")] file("held", s) using 1:2 with linespoints lt number(s) title label(s)
}

if (plot_name eq "throughput") {
    set multiplot
    set logscale xy
    set logscale x 2
    set ylabel "acquisitions, of all processes together"
    set xlabel "processes"
    set ytics ("1 k/s" 1e-3, "10 k/s" 1e-2, "100 k/s" 1e-1, "1 M/s" 1, "10 M/s" 10, "100 M/s" 100)
    set yrange [0.002:150]
    set size 0.395,1
    set origin 0,0
    set title "All on one key, waiting"
    set xrange [0.9:72]
    set xtics (1, 2, 4, 8, 16, 64)
    unset key
    plot for [s in with_data("contended")] file("contended", s) using 1:2 with linespoints lt number(s) title label(s)
    set size 0.605,1
    set origin 0.395,0
    set title "Each on a key of its own"
    set xrange [0.9:18]
    set xtics (1, 2, 4, 16)
    unset ylabel
    set key outside right center
    plot for [s in with_data("many")] file("many", s) using 1:2 with linespoints lt number(s) title label(s)
    unset multiplot
}

if (plot_name eq "latency") {
    set multiplot
    set logscale x
    set mxtics 10
    set ylabel "share of the waits that took no longer"
    set yrange [0:1]
    set ytics ("0" 0, "25 %%" 0.25, "50 %%" 0.5, "75 %%" 0.75, "100 %%" 1)
    set xtics ("1 µs" 1, "10 µs" 10, "100 µs" 100, "1 ms" 1000, "10 ms" 10000, "100 ms" 100000)
    set size 0.395,1
    set origin 0,0
    set title "From the holder's release to a sleeping waiter"
    set xlabel "time until the waiter has the lock"
    unset key
    plot for [s in with_data("handoff")] file("handoff", s) using 1:2 with steps lt number(s) title label(s)
    set size 0.605,1
    set origin 0.395,0
    set title "From the holder's SIGKILL to a sleeping waiter"
    unset ylabel
    set key outside right center
    plot for [s in with_data("kill")] file("kill", s) using 1:2 with steps lt number(s) title label(s), \
        for [s in with_data("handoff")] NaN with lines lt number(s) \
        title (there("kill", s) ? "" : label(s) . " (left only)")
    unset multiplot
}
