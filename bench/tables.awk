# The tables of README.md, from the output of bench --json: a row a case, a column a peer.

function get(field) {
    if (!match($0, "\"" field "\":(\"[^\"]*\"|[^,}]*)"))
        return ""
    value = substr($0, RSTART + length(field) + 3, RLENGTH - length(field) - 3)
    gsub(/"/, "", value)
    return value == "null" ? "" : value
}

# The members of an object in the first line, as "name: value; ..."
function members(field) {
    if (!match($0, "\"" field "\":{[^}]*}"))
        return ""
    value = substr($0, RSTART + length(field) + 4, RLENGTH - length(field) - 5)
    gsub(/","/, "; ", value)
    gsub(/":"/, ": ", value)
    gsub(/"/, "", value)
    return value
}

function digits(value) {
    value += 0
    return sprintf(value < 10 ? "%.2f" : value < 100 ? "%.1f" : "%.0f", value)
}

function text(value, unit) {
    if (value == "")
        return ""
    value += 0
    if (unit == "us") { value *= 1000; unit = "ns" }
    if (unit == "ns" && value >= 1e6)
        return digits(value / 1e6) " ms"
    if (unit == "ns" && value >= 1e3)
        return digits(value / 1e3) " µs"
    if (unit == "M/s" && value < 1)
        return digits(value * 1000) " k/s"
    if (unit == "bytes")
        return sprintf("%.0f bytes", value)
    return digits(value) (unit == "share" || unit == "wakes" ? "" : " " unit)
}

function group_of(name) {
    if (name ~ /^(contended|many_keys)_/)
        return 2
    if (name ~ /^(handoff|async_handoff|kill_to_waiter|fair_8|herd_|sleepers_)/)
        return 3
    if (name ~ /^(held|fill|list|register)_/ || name ~ /^(memory_per_lock|binary_size)$/)
        return 4
    return 1
}

function print_group(g, title,    i, j, line, rule, used) {
    for (i = 1; i <= subjects; i++)
        for (j = 1; j <= cases; j++)
            if (group_of(case_name[j]) == g && (case_name[j], subject[i]) in median)
                used[i] = 1
    print "### " title "\n"
    line = "| case |"
    rule = "|---|"
    for (i = 1; i <= subjects; i++)
        if (i in used) {
            line = line " " subject[i] " |"
            rule = rule "---:|"
        }
    print line "\n" rule
    for (j = 1; j <= cases; j++) {
        if (group_of(case_name[j]) != g)
            continue
        line = "| `" case_name[j] "` |"
        for (i = 1; i <= subjects; i++)
            if (i in used)
                line = line " " text(median[case_name[j], subject[i]], unit[case_name[j]]) " |"
        print line
    }
    print ""
}

NR == 1 {
    print get("processors") " x " get("machine") ", Linux " get("kernel") ", " get("compiler") ", medians of " get("rounds") " rounds. " \
        members("versions") ".\n"
    if (members("missing") != "")
        print "Missing: " members("missing") ".\n"
    next
}

!((get("case"), get("subject")) in median) {
    if (!(get("case") in unit))
        case_name[++cases] = get("case")
    if (!(get("subject") in known)) {
        subject[++subjects] = get("subject")
        known[get("subject")]
    }
    unit[get("case")] = get("unit")
    median[get("case"), get("subject")] = get("median")
    next
}

{
    figure = get("ratio_to") != "" ? digits(get("ratio")) " x " get("ratio_to") : text(get("median"), get("unit"))
    if (get("ratio_to") != "" && get("ratio") + 0 < 0.1)
        figure = digits(1 / get("ratio")) " x faster than " get("ratio_to")
    bar = get("bar")
    if (bar ~ /^<= 0\.0/)
        bar = "at least " 1 / substr(bar, 4) " x faster"
    sub(/^<=/, "at most", bar)
    sub(/^>=/, "at least", bar)
    met = get("met")
    bars = bars "| `" get("case") "` | " get("subject") " | " figure " | " bar " | " \
        (met == "true" ? "met" : met == "false" ? "**not met**" : "") " |\n"
}

END {
    print_group(1, "One process")
    print_group(2, "Several processes: acquisitions a second, of all together")
    print_group(3, "Waiting")
    print_group(4, "Sizes, and many")
    print "### Bars\n"
    print "| case | subject | figure | bar | |\n|---|---|---|---|---|"
    printf "%s", bars
}
