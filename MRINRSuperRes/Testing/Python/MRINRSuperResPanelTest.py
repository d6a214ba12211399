"""Presses the buttons of the MRINRSuperRes panel, inside Slicer or on the project's stand-in for it."""

import time
import unittest

import slicer


def phantom(sliceAxis, name):
    import MRINRSuperRes

    return MRINRSuperRes.MRINRSuperResTest().phantom(sliceAxis, name)


class MRINRSuperResPanelTest(unittest.TestCase):
    def setUp(self):
        from MRINRLib import install

        if not install.hasTorch():
            self.skipTest("PyTorch is not installed")
        slicer.mrmlScene.Clear()
        self.panel = slicer.util.getModuleWidget("MRINRSuperRes")
        self.panel.enter()

    def tearDown(self):
        self.panel.exit()

    def waitFor(self, condition, seconds=300):
        end = time.time() + seconds
        while not condition():
            self.assertLess(time.time(), end, "waited too long")
            slicer.app.processEvents()
            time.sleep(0.02)

    def isIdle(self):
        return self.panel.ui.applyButton.text == "Apply"

    def fill(self, spacing=None):
        phantom(2, "T1 axial")
        phantom(1, "T2 coronal")
        self.panel.ui.fillButton.click()
        self.assertEqual(self.panel.ui.stacksTable.rowCount, 2)
        self.panel.ui.methodBox.setCurrentText("tv")
        if spacing is not None:
            self.panel.ui.spacingModeBox.setCurrentText("custom")
            self.panel.ui.spacingBox.value = spacing

    def test_ApplyMakesAVolumeForEachContrast(self):
        self.fill()
        self.assertTrue(self.panel.ui.applyButton.enabled, self.panel.ui.applyButton.toolTip)
        self.panel.ui.applyButton.click()
        self.assertFalse(self.isIdle())
        self.waitFor(self.isIdle)
        for name in ("T1 axial SR", "T2 coronal SR"):
            self.assertEqual(slicer.util.getNode(name).GetImageData().GetDimensions(), (24, 24, 24))
        self.assertIn("Self-check", self.panel.ui.selfCheckLabel.text)

    def test_CancelLeavesNothingBehind(self):
        self.fill(spacing=0.2)
        self.panel.ui.applyButton.click()
        self.waitFor(lambda: self.panel.ui.progressBar.value > 0)
        self.panel.ui.applyButton.click()
        self.waitFor(self.isIdle)
        self.assertIn("Cancelled", self.panel.ui.messageLabel.text)
        with self.assertRaises(slicer.util.MRMLNodeNotFoundException):
            slicer.util.getNode("T1 axial SR")

    def test_ApplySaysWhyItCannotWork(self):
        self.assertFalse(self.panel.ui.applyButton.enabled)
        self.assertIn("Fill from study", self.panel.ui.applyButton.toolTip)

    def test_ComparisonComesAndGoes(self):
        if slicer.app.layoutManager() is None:
            self.skipTest("There is no main window")
        self.fill()
        layout = slicer.app.layoutManager().layout
        self.panel.ui.applyButton.click()
        self.waitFor(self.isIdle)
        self.panel.ui.compareButton.click()
        composite = slicer.app.layoutManager().sliceWidget("Red+").mrmlSliceCompositeNode()
        self.assertEqual(composite.GetForegroundVolumeID(), slicer.util.getNode("T1 axial SR").GetID())
        self.panel.ui.scannerButton.click()
        composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
        self.assertIn("re-sliced", slicer.mrmlScene.GetNodeByID(composite.GetForegroundVolumeID()).GetName())
        self.panel.ui.compareButton.click()
        self.assertEqual(slicer.app.layoutManager().layout, layout)
