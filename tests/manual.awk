# What the public headers declare, or what the manual's pages say of it, in lines to compare.
#
#   awk -v want=calls -f manual.awk HEADER...     "name<TAB>prototype", of every function
#   awk -v want=names -f manual.awk HEADER...     of every struct's members, and of enumerators
#   awk -v want=statuses -f manual.awk HEADER...  "name<TAB>status", of those that its comment tells
#   awk -v want=synopsis -f manual.awk PAGE...    "name<TAB>prototype<TAB>page"
#   awk -v want=program -v n=N -f manual.awk PAGE   the Nth literal block

BEGIN {
    split("OK LOCKED TIMEOUT LOST DEADLOCK NOT_INITIALIZED INVALID KEY_TOO_LONG FULL NO_MEMORY " \
          "PERMISSION INCOMPATIBLE CORRUPT GONE CANCELLED PENDING SYSTEM", list)
    for (i in list)
        status[list[i]] = 1
}

# One space between words, none around what separates them.
function plain(text) {
    gsub(/CACHIFY_API|__attribute__.*/, "", text)
    gsub(/[ \t\n]+/, " ", text)
    gsub(/ ?\* ?/, "*", text)
    gsub(/ ?\( ?/, "(", text)
    gsub(/ ?\) ?/, ")", text)
    gsub(/ ?, ?/, ",", text)
    gsub(/^ | ?;? *$/, "", text)
    return text
}

function name_of(prototype) {
    sub(/\(.*/, "", prototype)
    sub(/.*[ *]/, "", prototype)
    return prototype
}

# ---- Headers ----

want == "calls" || want == "names" || want == "statuses" {
    line = $0
    if (line ~ /^ *#/) {
        if (want == "names" && $1 == "#define" && $2 ~ /^CACHIFY_/ && $2 !~ /(_H|_API|_\(.*)$/)
            print name_of($2)
        next
    }
    if (line ~ /^\/\*/)
        comment = ""
    if (in_comment || line ~ /^\/\*/)
        comment = comment " " line
    while (1) {
        if (in_comment) {
            at = index(line, "*/")
            if (at == 0)
                next
            line = substr(line, at + 2)
            in_comment = 0
        }
        at = index(line, "/*")
        if (at == 0)
            break
        end = index(substr(line, at), "*/")
        if (end == 0) {
            line = substr(line, 1, at - 1)
            in_comment = 1
            break
        }
        line = substr(line, 1, at - 1) substr(line, at + end + 1)
    }
    if (line ~ /^CACHIFY_API/)
        call = " "
    if (call != "") {
        call = call " " line
        if (line ~ /;/) {
            declared(plain(call))
            call = ""
        }
        next
    }
    if (line ~ /^(typedef )?(struct|enum)[^;]*\{ *$/) {
        inside = 1
        next
    }
    if (line ~ /^}/)
        inside = 0
    if (inside && want == "names")
        members(line)
}

function declared(prototype, words, count, i) {
    if (want == "calls")
        print name_of(prototype) "\t" prototype
    if (want != "statuses")
        return
    count = split(comment, words, /[^A-Z_]+/)
    for (i = 1; i <= count; i++)
        if (words[i] in status)
            print name_of(prototype) "\t" words[i]
}

function members(line) {
    member = member " " line
    if (line !~ /[;,]/)
        return
    if (match(member, /\(\*[a-z_]+\)/))
        print substr(member, RSTART + 2, RLENGTH - 3)
    else if (match(member, /CACHIFY_[A-Z0-9_]+/))
        print substr(member, RSTART, RLENGTH)
    else if (match(member, /[a-z_0-9]+(\[[^]]*\])*;/))
        print substr(member, RSTART, match(substr(member, RSTART), /[[;]/) - 1)
    member = line ~ /,/ && line !~ /;/ && line !~ /CACHIFY_/ ? member : ""
}

# ---- Pages ----

want == "synopsis" {
    if ($1 == ".Sh")
        inside = $2 == "SYNOPSIS"
    if (!inside)
        next
    text = $0
    sub(/^\.[A-Z][a-z] */, "", text)
    if ($1 == ".Ft")
        type = unquoted(text)
    else if ($1 == ".Fo") {
        call = type " " $2 "("
        comma = ""
    } else if ($1 == ".Fa") {
        call = call comma unquoted(text)
        comma = ","
    } else if ($1 == ".Fc")
        told(call ")")
    else if ($1 == ".Fn" && $2 !~ /^CACHIFY_/) {
        call = type " " $2 "("
        sub(/^[^ ]+ */, "", text)
        for (comma = ""; match(text, /^("[^"]*"|[^ "]+)/); comma = ",") {
            call = call comma unquoted(substr(text, 1, RLENGTH))
            text = substr(text, RLENGTH + 1)
            sub(/^ +/, "", text)
        }
        told(call ")")
    }
}

function unquoted(text) {
    gsub(/"/, "", text)
    return text
}

function told(prototype) {
    prototype = plain(prototype)
    print name_of(prototype) "\t" prototype "\t" FILENAME
}

want == "program" {
    if ($1 == ".Bd" && $2 == "-literal" && ++blocks == n) {
        inside = 1
        next
    }
    if ($1 == ".Ed")
        inside = 0
    if (inside) {
        gsub(/\\&/, "")
        gsub(/\\e/, "\\")
        print
    }
}
