"""`python -m synthgen`: the command line, from any folder."""

from synthgen.installation import leave_working_folder_out

leave_working_folder_out()

from synthgen.cli.commands import main  # noqa: E402

main()
