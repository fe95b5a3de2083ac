"""What tests of Mainstay and of projects that use it need: a fake clock and makers of records."""
