"""Check an artifact: files, and answers in every runtime."""

from kerasgen.quiet import import_tensorflow


def run(options):
    import_tensorflow()
    from kerasgen.export.verify import verify

    rows = verify(options.folder)
    if options.quiet:
        return
    for row in rows:
        what = f"{row['signature']:<15} {row['runtime']:<13} batch {row['batch']}"
        if row["tolerance"] is None:
            said = f"{row['max_abs_difference']:.0%} of tokens are others"
        else:
            judged = row.get("rms_difference", row["max_relative_difference"])
            said = f"difference {judged:.1e} of {row['tolerance']:.0e} allowed"
        print(f"ok  {what}  {said}")
    print(f"{options.folder}: all files unchanged, {len(rows)} comparisons equal")
